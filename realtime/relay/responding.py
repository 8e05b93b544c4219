"""Encoded responses of the relay, with CORS headers, and errors in the Edge Proxy's shapes."""

import asyncio
import json
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple

from realtime.answers import KEY_HEADER, VERSION_HEADER, Answer, ConditionalHeaders, http_head
from realtime.relay.document import HeldDocument
from realtime.types import Send, epoch_seconds

JSON = (b"content-type", b"application/json")
NOSNIFF = (b"x-content-type-options", b"nosniff")

EXPOSED_HEADERS = b"x-flagsmith-document-updated-at, etag, retry-after"
ALLOWED_METHODS = b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
PREFLIGHT_SECONDS = b"86400"

UNAVAILABLE_SECONDS = b"2"

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


def encoded(answer: Answer, accept_encoding: str, conditions: ConditionalHeaders, cors: bytes) -> Response:
    """A document or flags, for a client with these headers."""
    answer = answer.for_conditions(conditions)
    body, headers = answer.render_for(accept_encoding)
    pairs = [(name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()]
    if "Content-Type" in headers:
        pairs.append((b"content-length", b"%d" % len(body)))
    return Response(http_head(answer.status, [*pairs, NOSNIFF]) + cors, body)


def evaluated(held: HeldDocument, body: bytes, cors: bytes) -> Response:
    """A response that was made for one request. Its head depends on it only by the length of the body."""
    head = held.heads.get(cors)
    if head is None:
        version = epoch_seconds(held.version).encode()
        headers = [JSON, (VERSION_HEADER.lower().encode(), version), (b"vary", KEY_HEADER.encode()), NOSNIFF]
        head = held.heads[cors] = http_head(200, headers) + cors
    return Response(b"%bcontent-length: %d\r\n" % (head, len(body)), body)


def json_response(status: int, content: Any, cors: bytes, headers: Mapping[bytes, bytes] | None = None) -> Response:
    body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
    return plain_response(status, body, cors, {JSON[0]: JSON[1], **(headers or {})})


def plain_response(status: int, body: bytes, cors: bytes, headers: Mapping[bytes, bytes] | None = None) -> Response:
    pairs = [*(headers or {}).items(), NOSNIFF, (b"content-length", b"%d" % len(body))]
    return Response(http_head(status, pairs) + cors, body)


def unknown_key(key: str | None, cors: bytes) -> Response:
    return json_response(401, {"status": "unauthorized", "message": f"unknown key {key!r}"}, cors)


def no_document(cors: bytes) -> Response:
    """The key is configured, and the upstream has not sent a document since the first start of this relay."""
    return json_response(
        503, {"status": "unavailable", "message": NO_DOCUMENT}, cors, {b"retry-after": UNAVAILABLE_SECONDS}
    )


def feature_not_found(name: str, cors: bytes) -> Response:
    return json_response(404, {"status": "not_found", "message": f"feature '{name}' not found"}, cors)


def not_found(cors: bytes) -> Response:
    return json_response(404, {"detail": "Not Found"}, cors)


def method_not_allowed(methods: Iterable[str], cors: bytes) -> Response:
    """The response to another method than these."""
    return json_response(405, {"detail": "Method Not Allowed"}, cors, {b"allow": ", ".join(methods).encode()})


class InvalidRequest(Exception):
    """A request is rejected. ``problems`` has the format of FastAPI's validation errors."""

    def __init__(self, kind: str, location: list[str | int], message: str) -> None:
        super().__init__(message)
        self.problems = [{"type": kind, "loc": location, "msg": message}]

    def response(self, cors: bytes) -> Response:
        return json_response(422, {"detail": self.problems}, cors)


def took_too_long(cors: bytes) -> Response:
    return json_response(422, {"detail": TOOK_TOO_LONG}, cors)
