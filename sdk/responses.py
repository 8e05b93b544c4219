"""Encoded responses of the SDK API: status, body and headers, independent of the server that sends them."""

import re
import time
from collections.abc import Collection
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.utils.http import http_date, parse_etags, parse_http_date_safe

from evaluation.cache import CompiledDocument
from evaluation.worker import evaluation_time_limit
from realtime.types import UpdatedAt, epoch_seconds
from sdk.authentication import HEADER
from sdk.identify import RequestIdentity

# "gzip;q=0" in any spelling: the client rejects gzip.
GZIP_REJECTED = re.compile(r"gzip\s*;\s*q\s*=\s*0(\.0*)?\s*(,|$)", re.IGNORECASE)

VERSION_HEADER = "X-Flagsmith-Document-Updated-At"


NOT_MODIFIED = 304


class ConditionalHeaders(NamedTuple):
    """The conditional headers of a request. Empty: not sent."""

    if_none_match: str = ""
    if_modified_since: str = ""


class Validators(NamedTuple):
    """The ETag and the date by which a client can check whether it has the newest version."""

    etag: str
    date: int
    """Unix time in whole seconds, different for each revision. 0: unknown."""

    @classmethod
    def of(cls, compiled: CompiledDocument) -> "Validators":
        """The validators of an environment document.

        A date before the version was not written with this version: the environment was changed by SQL, or by a process
        of an older release.
        """
        date = compiled.document.last_modified
        is_valid = int(compiled.version.updated_at.timestamp()) <= date
        return cls(compiled.document_body.etag, date if is_valid else 0)

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
    """A response of one version of an environment. Django's views and the read path send it."""

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
            "Vary": f"{HEADER}, Accept-Encoding",
            **(self.validators.headers if self.validators else {}),
        }
        if self.status == NOT_MODIFIED:
            return b"", headers
        headers["Content-Type"] = "application/json"
        if self.gzipped is None or "gzip" not in accept_encoding or GZIP_REJECTED.search(accept_encoding):
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
    """An error that the read path sends, with the interface of ``EncodedResponse``."""

    status: int
    body: bytes
    headers: dict[str, str]

    def for_conditions(self, conditions: ConditionalHeaders) -> "ErrorResponse":
        return self

    def render_for(self, accept_encoding: str) -> tuple[bytes, dict[str, str]]:
        return self.body, {"Content-Type": "application/json", **self.headers}


def flags(compiled: CompiledDocument, server_side: bool) -> EncodedResponse:
    """All flags of the environment."""
    body = compiled.server_side_flags if server_side else compiled.client_side_flags
    return EncodedResponse(compiled.version.updated_at, body.encoded, body.gzipped)


def flag(compiled: CompiledDocument, name: str, server_side: bool) -> EncodedResponse:
    """One flag of the environment, by its feature's name."""
    return _flag_response(compiled, compiled.environment.flag(name, server_side))


def identity(compiled: CompiledDocument, identity: RequestIdentity, server_side: bool) -> EncodedResponse:
    """An identity with its flags and traits."""
    with evaluation_time_limit():
        body = compiled.environment.identity(identity, server_side)
    return EncodedResponse(compiled.version.updated_at, body)


def identity_flag(
    compiled: CompiledDocument, identity: RequestIdentity, name: str, server_side: bool
) -> EncodedResponse:
    """One flag of an identity, by its feature's name."""
    with evaluation_time_limit():
        body = compiled.environment.identity_flag(identity, name, server_side)
    return _flag_response(compiled, body)


def feature_ids(compiled: CompiledDocument, names: Collection[str]) -> dict[str, int]:
    """The primary keys of the project's features with these names, by name."""
    return {feature.name: feature.id for feature in compiled.document.features if feature.name in names}


def document(compiled: CompiledDocument) -> EncodedResponse:
    """The environment document."""
    body = compiled.document_body
    return EncodedResponse(compiled.version.updated_at, body.encoded, body.gzipped, validators=Validators.of(compiled))


def _flag_response(compiled: CompiledDocument, body: bytes | None) -> EncodedResponse:
    if body is None:
        return EncodedResponse(compiled.version.updated_at, b'{"detail":"Given feature not found"}', status=404)
    return EncodedResponse(compiled.version.updated_at, body)
