"""Middleware that adds the security headers for browsers which Django's own middleware does not set."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

# For responses of the API. If a browser is tricked into showing one as a page, nothing in it runs, loads or submits.
DATA_POLICY = "default-src 'none'; frame-ancestors 'none'; form-action 'none'"
PAGE_POLICY = "frame-ancestors 'none'"


@sync_and_async_middleware
def browser_headers(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """Forbid framing of all responses, and scripts in data. Headers that a view sets itself are kept."""
    if not iscoroutinefunction(get_response):

        def add(request: HttpRequest) -> HttpResponseBase:
            return _with_headers(get_response(request))

        return add

    async def add_async(request: HttpRequest) -> HttpResponseBase:
        response: Awaitable[HttpResponseBase] = get_response(request)
        return _with_headers(await response)

    return add_async


def _with_headers(response: HttpResponseBase) -> HttpResponseBase:
    page = response.headers.get("Content-Type", "").startswith("text/html")
    response.headers.setdefault("X-Frame-Options", "DENY")
    response.headers.setdefault("Content-Security-Policy", PAGE_POLICY if page else DATA_POLICY)
    if response.status_code == HTTPStatus.NOT_MODIFIED:
        # CommonMiddleware sets the length of the empty body. In HTTP it would be the length of the 200 response.
        response.headers.pop("Content-Length", None)
    return response
