"""Static files, served by WhiteNoise directly from the apps' folders: no ``collectstatic`` is needed."""

from contextlib import closing
from functools import cache
from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware

from core.errors import not_found


# Not in MIDDLEWARE: every call of the API would pass through it.
def static_file(request: HttpRequest, path: str) -> HttpResponseBase:
    """The view of ``STATIC_URL``. It needs no sign-in."""
    response = _files()(request)
    if not response.streaming:
        return cast(HttpResponseBase, response)
    # The files are small, and a synchronous streaming response would block under ASGI.
    with closing(response):
        return HttpResponse(b"".join(response), status=response.status_code, headers=dict(response.headers))


@cache
def _files() -> Any:
    return WhiteNoiseMiddleware(lambda request: not_found(request, Exception()))
