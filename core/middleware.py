"""What every answer says to browsers, beside what Django's own middleware says."""

from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Any

from asgiref.sync import iscoroutinefunction
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.utils.decorators import sync_and_async_middleware

# An answer of the API is data. Should a browser be led to take it for a page, nothing in it runs, loads or submits.
DATA = "default-src 'none'; frame-ancestors 'none'; form-action 'none'"
PAGE = "frame-ancestors 'none'"


@sync_and_async_middleware
def browser_headers(get_response: Callable[[HttpRequest], Any]) -> Callable[[HttpRequest], Any]:
    """No answer may be framed, and data may not be run. A view that sends these headers itself keeps its own."""
    if not iscoroutinefunction(get_response):

        def answer(request: HttpRequest) -> HttpResponseBase:
            return _with_headers(get_response(request))

        return answer

    async def answer_later(request: HttpRequest) -> HttpResponseBase:
        response: Awaitable[HttpResponseBase] = get_response(request)
        return _with_headers(await response)

    return answer_later


def _with_headers(response: HttpResponseBase) -> HttpResponseBase:
    page = response.headers.get("Content-Type", "").startswith("text/html")
    response.headers.setdefault("X-Frame-Options", "DENY")
    response.headers.setdefault("Content-Security-Policy", PAGE if page else DATA)
    if response.status_code == HTTPStatus.NOT_MODIFIED:
        # CommonMiddleware counts the body that a 304 has not. The length of HTTP would be that of the 200.
        response.headers.pop("Content-Length", None)
    return response
