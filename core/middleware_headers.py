"""The response headers of Django's middleware, for responses that bypass Django."""

from collections.abc import Callable
from contextlib import suppress
from functools import cache, lru_cache
from http import HTTPStatus
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed, SuspiciousOperation
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string

from realtime.compat.django import empty_request
from realtime.types import Message

logger = structlog.get_logger(__name__)

Headers = tuple[tuple[bytes, bytes], ...]

# The request headers that the middleware reads. Its response headers depend on nothing else of a plain GET.
READ_HEADERS = frozenset((b"host", b"origin", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port"))

# The maximum size of these headers in a cached request. Larger ones are left to Django: clients without a valid key
# could otherwise fill the cache's memory.
MAX_READ_BYTES = 1_000

# The header whose values are joined if the response has one as well.
VARY = "Vary"


class MiddlewareHeaders:
    """The headers that the middleware adds to each response to one kind of request."""

    def __init__(self, response: HttpResponse) -> None:
        self._vary = response.headers.get(VARY, "")
        separate = (VARY, "Content-Length")
        self._added = {name: value for name, value in response.headers.items() if name not in separate}

    def merge(self, headers: dict[str, str], body: bytes) -> list[tuple[bytes, bytes]]:
        """All headers of a response with this body and these headers, for ASGI."""
        vary = ", ".join([text for text in (headers.get(VARY), self._vary) if text])
        merged = {**self._added, **headers, "Content-Length": str(len(body)), **({VARY: vary} if vary else {})}
        return [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in merged.items()]


def middleware_headers(scope: Message) -> MiddlewareHeaders | None:
    """The headers that the middleware adds to the response to this GET.

    None: Django has to respond, because the middleware has a response of its own (a redirect, a rejection), or fails in
    the event loop, as middleware that reads the database does.
    """
    read = tuple((name, value) for name, value in scope["headers"] if name in READ_HEADERS)
    if sum([len(name) + len(value) for name, value in read]) > MAX_READ_BYTES:
        return None
    # A Unix socket has no server address.
    server = scope.get("server")
    return _cached_headers(scope["path"], scope["scheme"], tuple(server) if server else None, read)


# Most requests come from few origins to few hosts.
@lru_cache(maxsize=1_024)
def _cached_headers(path: str, scheme: str, server: tuple[Any, ...] | None, read: Headers) -> MiddlewareHeaders | None:
    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "scheme": scheme,
        "server": server,
        "query_string": b"",
        "headers": list(read),
    }
    try:
        response = _middleware()(empty_request(scope))
    except SuspiciousOperation:
        return None
    except Exception as error:
        _log_failure(repr(error))
        return None
    return MiddlewareHeaders(response) if response.status_code == HTTPStatus.OK else None


@cache
def _middleware() -> Callable[[HttpRequest], HttpResponse]:
    """The whole middleware chain, around a view with an empty response."""
    handler: Callable[[HttpRequest], HttpResponse] = _empty_view
    for name in reversed(settings.MIDDLEWARE):
        with suppress(MiddlewareNotUsed):
            handler = import_string(name)(handler)
    return handler


@lru_cache(maxsize=1)
def _log_failure(error: str) -> None:
    """Log a failure of the middleware; the cache suppresses repetitions of it."""
    logger.warning("middleware_failed", error=error, effect="Django answers such requests")


def _empty_view(request: HttpRequest) -> HttpResponse:
    return HttpResponse(content_type="application/json")


@receiver(setting_changed)
def _clear_caches(**kwargs: Any) -> None:
    _middleware.cache_clear()
    _cached_headers.cache_clear()
    _log_failure.cache_clear()
