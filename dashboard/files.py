"""Styles and scripts, served by WhiteNoise from where the apps have them. No step collects them first."""

from functools import cache
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from whitenoise.middleware import WhiteNoiseMiddleware

from core.errors import not_found


# Not in MIDDLEWARE: every call of the API would pass through it.
def static_file(request: HttpRequest, path: str) -> HttpResponseBase:
    """A file of ``STATIC_URL``, for anybody."""
    response: HttpResponseBase = _files()(request)
    return response


@cache
def _files() -> Any:
    return WhiteNoiseMiddleware(lambda request: not_found(request, Exception()))
