"""Answers of the SDK API and of OFREP: status, headers and encoded body, independent of the server that sends them."""

import gzip
import hashlib
import re
import time
from http import HTTPStatus
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.utils.http import http_date, parse_etags, parse_http_date_safe

from realtime.types import Send, UpdatedAt, epoch_seconds

# "gzip;q=0" in any spelling: the client rejects gzip.
GZIP_REJECTED = re.compile(r"gzip\s*;\s*q\s*=\s*0(\.0*)?\s*(,|$)", re.IGNORECASE)

KEY_HEADER = "X-Environment-Key"

VERSION_HEADER = "X-Flagsmith-Document-Updated-At"

NOT_MODIFIED = 304

CONTENT_TYPE = "application/json"

# A body of this size fits into one network packet with its headers: compression would save no packet.
MAX_UNCOMPRESSED_BYTES = 1_200

# Level 9 takes 2.6 times as long for a document with 50 features (15 kB), and saves 0.3 % of 1.5 kB (zlib 1.3).
COMPRESSION_LEVEL = 6


def compressed(body: bytes) -> bytes | None:
    """The body compressed by gzip. None if it fits into one packet uncompressed."""
    if len(body) <= MAX_UNCOMPRESSED_BYTES:
        return None
    return gzip.compress(body, COMPRESSION_LEVEL, mtime=0)


def weak_etag(body: bytes) -> str:
    """A hash of the body, so all processes have the same. Weak, because the compressed body has it too."""
    return f'W/"{hashlib.blake2b(body, digest_size=16).hexdigest()}"'


class ConditionalHeaders(NamedTuple):
    """The conditional headers of a request. Empty: not sent."""

    if_none_match: str = ""
    if_modified_since: str = ""


class Validators(NamedTuple):
    """The ETag and the date by which a client can check whether it has the newest version."""

    etag: str
    date: int
    """Unix time in whole seconds, different for each revision. 0: unknown."""

    @property
    def last_modified(self) -> int:
        """The date, or 0 while it is in the future: HTTP does not allow a ``Last-Modified`` in the future."""
        return self.date if self.date <= time.time() else 0

    @property
    def headers(self) -> dict[str, str]:
        date = {"Last-Modified": http_date(self.last_modified)} if self.last_modified else {}
        # Without Cache-Control, HTTP caches may choose how long they serve a response that has a date.
        return {"ETag": self.etag, **date, "Cache-Control": "private, no-cache"}

    def match(self, conditions: ConditionalHeaders) -> bool:
        """Return whether the client has this version. With ``If-None-Match``, ``If-Modified-Since`` is ignored (HTTP).

        A date matches only if it equals ``Last-Modified``, because that differs for each revision. Flagsmith's Edge
        Proxy sends the document's ``updated_at`` in whole seconds. This equals ``Last-Modified``, except after a silent
        change or a second change within one second: those get a later date.
        """
        if conditions.if_none_match:
            etags = parse_etags(conditions.if_none_match)
            return "*" in etags or _opaque_tag(self.etag) in map(_opaque_tag, etags)
        return bool(self.last_modified) and parse_http_date_safe(conditions.if_modified_since) == self.last_modified


def _opaque_tag(etag: str) -> str:
    return etag.removeprefix("W/")


Headers = tuple[tuple[str, str], ...]


class Answer(NamedTuple):
    """A response of the SDK API or of OFREP. A shortcut, an ASGI application or a Django view sends it."""

    status: int
    body: bytes
    """JSON. Empty for 304."""

    headers: Headers = ()
    """Without those of the body, and without ``shared_headers``."""

    shared_headers: Headers = ()
    """Those that are equal for all answers of one version."""

    updated_at: UpdatedAt | None = None
    """The version of the environment. None: the answer has none."""

    gzipped: bytes | None = None
    """The body compressed by gzip. None: compression would save no network packet."""

    validators: Validators | None = None

    @property
    def is_uniform(self) -> bool:
        """Body and headers do not depend on the headers of the request."""
        return self.gzipped is None and self.validators is None

    @property
    def memory_bytes(self) -> int:
        return len(self.body) + len(self.gzipped or b"")

    def for_conditions(self, conditions: ConditionalHeaders) -> "Answer":
        """This answer, or 304 if the client has this version."""
        if self.validators is None or not self.validators.match(conditions):
            return self
        return self._replace(status=NOT_MODIFIED, body=b"", gzipped=None)

    def render_for(self, accept_encoding: str) -> tuple[bytes, dict[str, str]]:
        """Body and headers, without ``Content-Length``, for a client with this ``Accept-Encoding``."""
        headers = dict((*self.shared_headers, *self.headers))
        if self.validators is not None:
            headers |= self.validators.headers
        if not self.body:
            return b"", headers
        headers["Content-Type"] = CONTENT_TYPE
        if self.gzipped is None or not accepts_gzip(accept_encoding):
            return self.body, headers
        return self.gzipped, {**headers, "Content-Encoding": "gzip"}

    def own_lines(self) -> bytes:
        """The encoded headers of this answer alone: ``headers``, and ``Content-Length`` if there is a body."""
        lines = b"".join([f"{name.lower()}: {value}\r\n".encode("latin-1") for name, value in self.headers])
        return b"%bcontent-length: %d\r\n" % (lines, len(self.body)) if self.body else lines

    def http_response(self, request: HttpRequest) -> HttpResponse:
        """Django's response to the request."""
        names = ("If-None-Match", "If-Modified-Since")
        conditions = ConditionalHeaders(*(request.headers.get(name, "") for name in names))
        answer = self.for_conditions(conditions)
        body, headers = answer.render_for(request.headers.get("Accept-Encoding", ""))
        if answer.status == NOT_MODIFIED:
            return HttpResponseNotModified(headers=headers)
        return HttpResponse(body, status=answer.status, headers=headers)


def version_headers(updated_at: UpdatedAt, vary: str = f"{KEY_HEADER}, Accept-Encoding") -> Headers:
    """The headers of the SDK API's answers from this version of an environment."""
    return ((VERSION_HEADER, epoch_seconds(updated_at)), ("Vary", vary))


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether a client with this ``Accept-Encoding`` accepts gzip."""
    return "gzip" in accept_encoding and not GZIP_REJECTED.search(accept_encoding)


def http_head(number: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The status line and the headers of an HTTP/1.1 response."""
    status = HTTPStatus(number)
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode())]
    return b"".join(lines + [b"%b: %b\r\n" % header for header in headers])


class Response(NamedTuple):
    """A response as it is sent: the status line and the headers, without those of the connection, and the body."""

    head: bytes
    body: bytes

    async def send(self, send: Send, *, has_body: bool = True) -> None:
        """Send the response by ASGI. ``has_body``: False for HEAD."""
        status_line, *lines = self.head.split(b"\r\n")[:-1]
        headers = [tuple(line.split(b": ", 1)) for line in lines]
        status = int(status_line.split(b" ", 2)[1])
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": self.body if has_body else b""})
