"""Styles and scripts, served by WhiteNoise from where the apps have them. No step collects them first."""

from contextlib import closing
from functools import cache
from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware

from core.errors import not_found


# Not in MIDDLEWARE: every call of the API would pass through it.
def static_file(request: HttpRequest, path: str) -> HttpResponseBase:
    """A file of ``STATIC_URL``, for anybody."""
    response = _files()(request)
    if not response.streaming:
        return cast(HttpResponseBase, response)
    # Whole: they are small, and ASGI cannot send what is read piece by piece without waiting.
    with closing(response):
        return HttpResponse(b"".join(response), status=response.status_code, headers=dict(response.headers))


@cache
def _files() -> Any:
    return WhiteNoiseMiddleware(lambda request: not_found(request, Exception()))
