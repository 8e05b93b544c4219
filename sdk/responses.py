"""Answers to SDKs: bytes of JSON that are ready, under the version that they are of."""

import re
import time
from collections.abc import Collection
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.utils.http import http_date, parse_etags, parse_http_date_safe

from evaluation.cache import Entry
from evaluation.evaluator import Flag
from evaluation.shapes import encode
from realtime.types import UpdatedAt, epoch_seconds
from sdk.authentication import HEADER
from sdk.identify import Identified

# "gzip;q=0", in whatever spelling.
GZIP_REFUSED = re.compile(r"gzip\s*;\s*q\s*=\s*0(\.0*)?\s*(,|$)", re.IGNORECASE)

VERSION_HEADER = "X-Flagsmith-Document-Updated-At"


NOT_MODIFIED = 304


class Conditions(NamedTuple):
    """The conditional headers of a request, as text."""

    if_none_match: str = ""
    if_modified_since: str = ""


class Validators(NamedTuple):
    """By what a client can ask whether it has the newest state already."""

    etag: str
    date: int
    """Unix time in whole seconds, of this revision alone; 0: none."""

    @classmethod
    def of(cls, entry: Entry) -> "Validators":
        """Those of the document.

        A date that is older than the version was not raised with it: a process from before an upgrade, or SQL by hand,
        has changed the environment.
        """
        date = entry.document.last_modified
        is_usable = int(entry.version.updated_at.timestamp()) <= date
        return cls(entry.document_body.etag, date if is_usable else 0)

    @property
    def last_modified(self) -> int:
        """The date, or 0 as long as it is in the future: HTTP allows no ``Last-Modified`` of the future."""
        return self.date if self.date <= time.time() else 0

    @property
    def headers(self) -> dict[str, str]:
        date = {"Last-Modified": http_date(self.last_modified)} if self.last_modified else {}
        # With a date and no Cache-Control, a cache may keep an answer for as long as it sees fit.
        return {"ETag": self.etag, **date, "Cache-Control": "private, no-cache"}

    def match(self, conditions: Conditions) -> bool:
        """Whether the client has this state. As HTTP has it, an ``If-None-Match`` alone decides where there is one.

        A date counts only if it is the very ``Last-Modified``: then it is of this revision, and of no other.
        Flagsmith's Edge Proxy asks with the document's ``updated_at`` in whole seconds, which is the same, but for a
        second change within one second and for silent changes. These have a later date.
        """
        if conditions.if_none_match:
            known = parse_etags(conditions.if_none_match)
            return "*" in known or _opaque(self.etag) in map(_opaque, known)
        return bool(self.last_modified) and parse_http_date_safe(conditions.if_modified_since) == self.last_modified


def _opaque(etag: str) -> str:
    return etag.removeprefix("W/")


class Answer(NamedTuple):
    """What whoever serves it sends, by Django or ahead of it."""

    updated_at: UpdatedAt
    body: bytes
    packed: bytes | None = None
    """The body, compressed by gzip. None: not worth it."""
    status: int = 200
    validators: Validators | None = None

    def under(self, conditions: Conditions) -> "Answer":
        """The answer to a request with these conditions: this one, or 304 to a client that has it."""
        if self.validators is None or not self.validators.match(conditions):
            return self
        return self._replace(status=NOT_MODIFIED, body=b"", packed=None)

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return len(self.body) + len(self.packed or b"")

    def told_to(self, accept_encoding: str) -> tuple[bytes, dict[str, str]]:
        """The body for a client that accepts these encodings (the header's text), and its headers."""
        headers = {
            VERSION_HEADER: epoch_seconds(self.updated_at),
            "Vary": f"{HEADER}, Accept-Encoding",
            **(self.validators.headers if self.validators else {}),
        }
        if self.status == NOT_MODIFIED:
            return b"", headers
        headers["Content-Type"] = "application/json"
        if self.packed is None or "gzip" not in accept_encoding or GZIP_REFUSED.search(accept_encoding):
            return self.body, headers
        return self.packed, {**headers, "Content-Encoding": "gzip"}

    def response(self, request: HttpRequest) -> HttpResponse:
        """The same by Django."""
        conditions = Conditions(*(request.headers.get(name, "") for name in ("If-None-Match", "If-Modified-Since")))
        answer = self.under(conditions)
        body, headers = answer.told_to(request.headers.get("Accept-Encoding", ""))
        if answer.status == NOT_MODIFIED:
            return HttpResponseNotModified(headers=headers)
        return HttpResponse(body, status=answer.status, headers=headers)


class Refusal(NamedTuple):
    """An answer that is none: why there is no other one at the moment."""

    status: int
    body: bytes
    headers: dict[str, str]

    def under(self, conditions: Conditions) -> "Refusal":
        """As of an ``Answer``: always this one."""
        return self

    def told_to(self, accept_encoding: str) -> tuple[bytes, dict[str, str]]:
        """As of an ``Answer``."""
        return self.body, {"Content-Type": "application/json", **self.headers}


def flags(entry: Entry, server: bool) -> Answer:
    """All flags of the environment."""
    body = entry.flags_for_servers if server else entry.flags
    return Answer(entry.version.updated_at, body.encoded, body.packed)


def flag(entry: Entry, name: str, server: bool) -> Answer:
    """One flag of the environment, by its feature's name."""
    for each in entry.visible(entry.evaluator.environment_flags(), server):
        if each.state.feature.name == name:
            return _answer(entry, encode(entry.shapes.flag(each)).encode())
    return _feature_not_found(entry)


def identity(entry: Entry, identified: Identified, server: bool) -> Answer:
    """An identity with its flags and traits."""
    seen = () if entry.document.content["hide_sensitive_data"] else identified.traits.values()
    traits = encode([trait._asdict() for trait in seen])
    flags = ",".join([entry.shapes.identity_flag(each) for each in _identity_flags(entry, identified, server)])
    body = f'{{"identifier":{encode(identified.identifier)},"traits":{traits},"flags":[{flags}]}}'
    return _answer(entry, body.encode())


def identity_flag(entry: Entry, identified: Identified, name: str, server: bool) -> Answer:
    """One flag of an identity, by its feature's name."""
    for each in _identity_flags(entry, identified, server):
        if each.state.feature.name == name:
            return _answer(entry, entry.shapes.identity_flag(each).encode())
    return _feature_not_found(entry)


def features(entry: Entry, names: Collection[str]) -> dict[str, int]:
    """The primary keys of those of these features that there are, by name."""
    return {feature.name: feature.id for feature in entry.document.features.values() if feature.name in names}


def document(entry: Entry) -> Answer:
    """The environment document."""
    body = entry.document_body
    return Answer(entry.version.updated_at, body.encoded, body.packed, validators=Validators.of(entry))


def _identity_flags(entry: Entry, identified: Identified, server: bool) -> list[Flag]:
    found = entry.evaluator.identity_flags(identified.identifier, identified.trait_values, identified.id)
    return entry.visible(found, server)


def _feature_not_found(entry: Entry) -> Answer:
    return Answer(entry.version.updated_at, b'{"detail":"Given feature not found"}', status=404)


def _answer(entry: Entry, body: bytes) -> Answer:
    return Answer(entry.version.updated_at, body)
