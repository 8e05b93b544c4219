"""Encoded responses of the SDK API: status, body and headers, independent of the server that sends them."""

import gzip
import hashlib
import re
import time
from functools import cached_property
from http import HTTPStatus
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.utils.http import http_date, parse_etags, parse_http_date_safe

from realtime.types import UpdatedAt, epoch_seconds

# "gzip;q=0" in any spelling: the client rejects gzip.
GZIP_REJECTED = re.compile(r"gzip\s*;\s*q\s*=\s*0(\.0*)?\s*(,|$)", re.IGNORECASE)

KEY_HEADER = "X-Environment-Key"

VERSION_HEADER = "X-Flagsmith-Document-Updated-At"

NOT_MODIFIED = 304

# A body of this size fits into one network packet with its headers: compression would save no packet.
MAX_UNCOMPRESSED_BYTES = 1_200

# Level 9 takes 2.6 times as long for a document with 50 features (15 kB), and saves 0.3 % of 1.5 kB (zlib 1.3).
COMPRESSION_LEVEL = 6


class EncodedBody:
    """The encoded body of a response. Its compressed form and its ETag are computed when first used."""

    def __init__(self, encoded: bytes) -> None:
        self.encoded = encoded

    @cached_property
    def gzipped(self) -> bytes | None:
        """The body compressed by gzip. None if it fits into one packet uncompressed."""
        if len(self.encoded) <= MAX_UNCOMPRESSED_BYTES:
            return None
        return gzip.compress(self.encoded, COMPRESSION_LEVEL, mtime=0)

    @cached_property
    def etag(self) -> str:
        """A hash of the body, so all processes have the same. Weak, because the compressed body has it too."""
        return f'W/"{hashlib.blake2b(self.encoded, digest_size=16).hexdigest()}"'


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


class EncodedResponse(NamedTuple):
    """A response of one version of an environment. Django's views and shortcuts send it."""

    updated_at: UpdatedAt
    body: bytes
    gzipped: bytes | None = None
    """The body compressed by gzip. None: compression would save no network packet."""
    status: int = 200
    validators: Validators | None = None

    @property
    def is_uniform(self) -> bool:
        """Body and headers do not depend on the headers of the request."""
        return self.gzipped is None and self.validators is None

    def for_conditions(self, conditions: ConditionalHeaders) -> "EncodedResponse":
        """This response, or 304 if the client has this version."""
        if self.validators is None or not self.validators.match(conditions):
            return self
        return self._replace(status=NOT_MODIFIED, body=b"", gzipped=None)

    @property
    def memory_bytes(self) -> int:
        return len(self.body) + len(self.gzipped or b"")

    def render_for(self, accept_encoding: str) -> tuple[bytes, dict[str, str]]:
        """Body and headers for a client with this ``Accept-Encoding``."""
        headers = {
            VERSION_HEADER: epoch_seconds(self.updated_at),
            "Vary": f"{KEY_HEADER}, Accept-Encoding",
            **(self.validators.headers if self.validators else {}),
        }
        if self.status == NOT_MODIFIED:
            return b"", headers
        headers["Content-Type"] = "application/json"
        if self.gzipped is None or not accepts_gzip(accept_encoding):
            return self.body, headers
        return self.gzipped, {**headers, "Content-Encoding": "gzip"}

    def http_response(self, request: HttpRequest) -> HttpResponse:
        """Django's response to the request."""
        names = ("If-None-Match", "If-Modified-Since")
        conditions = ConditionalHeaders(*(request.headers.get(name, "") for name in names))
        response = self.for_conditions(conditions)
        body, headers = response.render_for(request.headers.get("Accept-Encoding", ""))
        if response.status == NOT_MODIFIED:
            return HttpResponseNotModified(headers=headers)
        return HttpResponse(body, status=response.status, headers=headers)


class ErrorResponse(NamedTuple):
    """An error that a shortcut sends, with the interface of ``EncodedResponse``."""

    status: int
    body: bytes
    headers: dict[str, str]

    def for_conditions(self, conditions: ConditionalHeaders) -> "ErrorResponse":
        return self

    def render_for(self, accept_encoding: str) -> tuple[bytes, dict[str, str]]:
        return self.body, {"Content-Type": "application/json", **self.headers}


def accepts_gzip(accept_encoding: str) -> bool:
    """Return whether a client with this ``Accept-Encoding`` accepts gzip."""
    return "gzip" in accept_encoding and not GZIP_REJECTED.search(accept_encoding)


def http_head(number: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The status line and the headers of an HTTP/1.1 response."""
    status = HTTPStatus(number)
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode())]
    return b"".join(lines + [b"%b: %b\r\n" % header for header in headers])
