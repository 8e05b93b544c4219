"""What Django's middleware adds to an answer, for those who answer ahead of Django."""

import io
from collections.abc import Callable
from contextlib import suppress
from functools import cache, lru_cache
from http import HTTPStatus
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import MiddlewareNotUsed, SuspiciousOperation
from django.core.handlers.asgi import ASGIRequest
from django.core.signals import setting_changed
from django.dispatch import receiver
from django.http import HttpRequest, HttpResponse
from django.utils.module_loading import import_string

from realtime.types import Message

logger = structlog.get_logger(__name__)

Headers = tuple[tuple[bytes, bytes], ...]

# The headers of a request that middleware looks at. What it says depends on nothing else of a plain GET.
READ = frozenset((b"host", b"origin", b"x-forwarded-proto", b"x-forwarded-host", b"x-forwarded-port"))

# Bytes of them that are worth keeping. Whoever sends more is left to Django: anybody, without a key that is any good,
# can fill this cache.
MAX_READ = 1_000

# Of a header that the answer has too, both values count.
JOINED = "Vary"


class Surroundings:
    """The headers that middleware adds to every answer to one kind of request."""

    def __init__(self, response: HttpResponse) -> None:
        self._joined = response.headers.get(JOINED, "")
        own = (JOINED, "Content-Length")
        self._added = {name: value for name, value in response.headers.items() if name not in own}

    def beside(self, headers: dict[str, str], body: bytes) -> list[tuple[bytes, bytes]]:
        """All headers of an answer with this body that has these headers itself, for ASGI."""
        joined = ", ".join([text for text in (headers.get(JOINED), self._joined) if text])
        told = {**self._added, **headers, "Content-Length": str(len(body)), **({JOINED: joined} if joined else {})}
        return [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in told.items()]


def surroundings(scope: Message) -> Surroundings | None:
    """The headers that middleware adds to the answer to this GET.

    None: Django has to answer it, because middleware has an answer of its own (a redirect, a refusal), or fails in the
    event loop, as middleware that reads the database does.
    """
    read = tuple((name, value) for name, value in scope["headers"] if name in READ)
    if sum([len(name) + len(value) for name, value in read]) > MAX_READ:
        return None
    # Behind a Unix socket there is none.
    server = scope.get("server")
    return _surroundings(scope["path"], scope["scheme"], tuple(server) if server else None, read)


# Few origins and hosts are most of the requests.
@lru_cache(maxsize=1_024)
def _surroundings(path: str, scheme: str, server: tuple[Any, ...] | None, read: Headers) -> Surroundings | None:
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
        response = _middleware()(ASGIRequest(scope, io.BytesIO()))
    except SuspiciousOperation:
        return None
    except Exception as error:
        _log_failure(repr(error))
        return None
    return Surroundings(response) if response.status_code == HTTPStatus.OK else None


@cache
def _middleware() -> Callable[[HttpRequest], HttpResponse]:
    """All middleware, around a view that says nothing."""
    handler: Callable[[HttpRequest], HttpResponse] = _nothing
    for name in reversed(settings.MIDDLEWARE):
        with suppress(MiddlewareNotUsed):
            handler = import_string(name)(handler)
    return handler


@lru_cache(maxsize=1)
def _log_failure(error: str) -> None:
    """Log a failure of middleware, once while it is the same."""
    logger.warning("middleware_failed", error=error, effect="Django answers such requests")


def _nothing(request: HttpRequest) -> HttpResponse:
    return HttpResponse(content_type="application/json")


@receiver(setting_changed)
def _forget(**kwargs: Any) -> None:
    _middleware.cache_clear()
    _surroundings.cache_clear()
    _log_failure.cache_clear()
