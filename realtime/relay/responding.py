"""Encodes the relay's answers, with CORS headers. Errors in the Edge Proxy's shapes."""

import json
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import structlog

from realtime import ofrep
from realtime.answers import Answer, ConditionalHeaders, Headers, Response, http_head
from realtime.reads.read import OFREP, Read

logger = structlog.get_logger(__name__)

CONTENT_TYPE = (b"content-type", b"application/json")
NOSNIFF = (b"x-content-type-options", b"nosniff")

EXPOSED_HEADERS = b"x-flagsmith-document-updated-at, etag, retry-after"
ALLOWED_METHODS = b"DELETE, GET, HEAD, OPTIONS, PATCH, POST, PUT"
PREFLIGHT_SECONDS = b"86400"

RETRY: Headers = (("Retry-After", "2"),)
"""For answers without a document."""

NO_DOCUMENT = "The upstream has not sent this environment's document yet."
TOOK_TOO_LONG = "The rules of this environment's segments take too long to evaluate for these traits."


class Origins:
    """The origins of ``allow_origins``."""

    def __init__(self, allowed: tuple[str, ...]) -> None:
        self.allows_all = "*" in allowed
        self._allowed = frozenset(origin.encode() for origin in allowed)

    def allows(self, origin: bytes) -> bool:
        return self.allows_all or origin in self._allowed

    def headers(self, origin: bytes) -> bytes:
        """The encoded CORS headers of a response to this origin; empty: none was sent."""
        if self.allows_all:
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


def took_too_long(read: Read) -> Answer:
    """The answer if the regular expressions of the environment's segments have used all their time."""
    if read.endpoint == OFREP:
        return ofrep.failure(400, read.feature, "GENERAL", TOOK_TOO_LONG)
    return json_answer(422, {"detail": TOOK_TOO_LONG})


def failed(**fields: str) -> Response:
    """The response after an exception, which is logged."""
    logger.exception("relay_request_failed", **fields)
    return encode(json_answer(500, {"detail": "Internal Server Error"}), b"")
