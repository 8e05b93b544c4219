"""Django's request handler for a server that serves only ``realtime.serving.urls``.

``serve_realtime`` runs with the settings of a project whose ``ROOT_URLCONF`` and ``MIDDLEWARE`` are for pages on
another server. Importing them would take memory, and the middleware may reject or redirect this server's requests.
"""

from collections.abc import Awaitable, Callable
from typing import Any

from django.core.handlers.asgi import ASGIHandler, ASGIRequest
from django.core.handlers.exception import convert_exception_to_response
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.middleware.security import SecurityMiddleware

URLCONF = "realtime.serving.urls"


class Request(ASGIRequest):
    urlconf = URLCONF
    """Django resolves a request by this URL configuration instead of ``ROOT_URLCONF``."""


class Handler(ASGIHandler):
    """An ASGI handler with these URLs, whose only middleware adds Django's security headers."""

    request_class = Request

    _get_response_async: Callable[[HttpRequest], Awaitable[HttpResponseBase]]

    def load_middleware(self, is_async: bool = False) -> None:
        self._view_middleware: list[Any] = []
        self._template_response_middleware: list[Any] = []
        self._exception_middleware: list[Any] = []
        views = convert_exception_to_response(self._get_response_async)
        self._middleware_chain = convert_exception_to_response(SecurityMiddleware(views))
