"""Encodes the relay's answers, with CORS headers. Errors in the Edge Proxy's shapes."""

import asyncio
import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any, NamedTuple

from realtime.answers import KEY_HEADER, VERSION_HEADER, Answer, ConditionalHeaders, Headers, http_head
from realtime.relay.document import HeldDocument
from realtime.types import Send, UpdatedAt, epoch_seconds

CONTENT_TYPE = (b"content-type", b"application/json")
NOSNIFF = (b"x-content-type-options", b"nosniff")

EXPOSED_HEADERS = b"x-flagsmith-document-updated-at, etag, retry-after"
ALLOWED_METHODS = b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
PREFLIGHT_SECONDS = b"86400"

RETRY: Headers = (("Retry-After", "2"),)
"""For answers without a document."""

NO_DOCUMENT = "The upstream has not sent this environment's document yet."
TOOK_TOO_LONG = "The rules of this environment's segments take too long to evaluate for these traits."


class Response(NamedTuple):
    """A response as it is sent: the status line and the headers, without those of the connection, and the body."""

    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        return int(self.head[9:12])

    async def send(self, send: Send) -> None:
        """Send the response by ASGI."""
        lines = self.head.split(b"\r\n")[1:-1]
        headers = [tuple(line.split(b": ", 1)) for line in lines]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body})


Result = Response | asyncio.Task[Response]
"""A response, or the task that makes it."""


class Origins:
    """The origins of ``allow_origins``."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self._allows_all = "*" in allowed
        self._allowed = frozenset(origin.encode() for origin in allowed)

    def allows(self, origin: bytes) -> bool:
        return self._allows_all or origin in self._allowed

    def headers(self, origin: bytes) -> bytes:
        """The encoded CORS headers of a response to this origin; empty: none was sent."""
        if self._allows_all:
            return _cors(b"*")
        return (_cors(origin) if origin in self._allowed else b"") + b"vary: Origin\r\n"

    def preflight(self, origin: bytes, requested_headers: bytes) -> Response:
        """The response to a preflight request. A client's headers are all allowed."""
        headers = [
            (b"vary", b"Origin"),
            (b"access-control-allow-methods", ALLOWED_METHODS),
            (b"access-control-max-age", PREFLIGHT_SECONDS),
            (b"access-control-allow-credentials", b"true"),
        ]
        if requested_headers:
            headers.append((b"access-control-allow-headers", requested_headers))
        if not self.allows(origin):
            body = b"Disallowed CORS origin"
            return Response(http_head(400, [*headers, (b"content-length", b"%d" % len(body))]), body)
        headers += [(b"access-control-allow-origin", origin), (b"content-length", b"0")]
        return Response(http_head(200, headers), b"")


@lru_cache(maxsize=256)
def _cors(origin: bytes) -> bytes:
    headers = (
        (b"access-control-allow-origin", origin),
        (b"access-control-allow-credentials", b"true"),
        (b"access-control-expose-headers", EXPOSED_HEADERS),
    )
    return b"".join([b"%b: %b\r\n" % header for header in headers])


def encode(answer: Answer, cors: bytes) -> Response:
    """An answer whose form does not depend on the client."""
    head = _head(answer.status, bool(answer.body), answer.shared_headers, cors)
    return Response(head + answer.own_lines(), answer.body)


@lru_cache(maxsize=1_024)
def _head(status: int, has_body: bool, headers: Headers, cors: bytes) -> bytes:
    """The status line and the headers that do not depend on the request."""
    lines = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers]
    return http_head(status, [*([CONTENT_TYPE] if has_body else []), *lines, NOSNIFF]) + cors


def encode_for(answer: Answer, accept_encoding: str, conditions: ConditionalHeaders, cors: bytes) -> Response:
    """A document or flags, for a client with these headers."""
    answer = answer.for_conditions(conditions)
    body, headers = answer.render_for(accept_encoding)
    headers.pop("Content-Type", None)
    return encode(Answer(answer.status, body, tuple(headers.items())), cors)


def evaluated(held: HeldDocument, body: bytes | None, feature: str | None = None) -> Answer:
    """The answer to one request. None: there is no flag of this name for this kind of key."""
    if body is None:
        return json_answer(404, {"status": "not_found", "message": f"feature '{feature}' not found"})
    return Answer(200, body, (), _version_headers(held.version), held.version)


@lru_cache(maxsize=1_024)
def _version_headers(version: UpdatedAt) -> Headers:
    """Those of answers that are never compressed, unlike those that all clients share."""
    return ((VERSION_HEADER, epoch_seconds(version)), ("Vary", KEY_HEADER))


def json_answer(status: int, content: Any, headers: Headers = ()) -> Answer:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return Answer(status, body, headers)


def method_not_allowed(methods: Iterable[str]) -> Answer:
    """The answer to another method than these."""
    return json_answer(405, {"detail": "Method Not Allowed"}, (("Allow", ", ".join(methods)),))


class Rejected(Exception):
    """A request gets this answer in place of one from a document."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer


class UnknownKey(Rejected):
    def __init__(self, key: str | None) -> None:
        super().__init__(json_answer(401, {"status": "unauthorized", "message": f"unknown key {key!r}"}))


class NoDocument(Rejected):
    """The key is configured, and the upstream has not sent a document since the first start of this relay."""

    def __init__(self) -> None:
        super().__init__(json_answer(503, {"status": "unavailable", "message": NO_DOCUMENT}, RETRY))


class InvalidRequest(Rejected):
    """Has the format of FastAPI's validation errors."""

    def __init__(self, kind: str, location: list[str | int], message: str) -> None:
        super().__init__(json_answer(422, {"detail": [{"type": kind, "loc": location, "msg": message}]}))


def not_found() -> Answer:
    return json_answer(404, {"detail": "Not Found"})


def took_too_long() -> Answer:
    return json_answer(422, {"detail": TOOK_TOO_LONG})
