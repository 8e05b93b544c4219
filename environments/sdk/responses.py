"""Answers to SDKs: bytes of JSON that are ready, under the version that they are of."""

import re
from collections.abc import Collection
from typing import NamedTuple

from django.http import HttpRequest, HttpResponse

from environments.cache import Entry
from environments.evaluation import Flag
from environments.sdk.authentication import HEADER
from environments.sdk.identify import Identified
from environments.sdk.shapes import encode
from realtime.types import UpdatedAt, epoch_seconds

# "gzip;q=0", in whatever spelling.
GZIP_REFUSED = re.compile(r"gzip\s*;\s*q\s*=\s*0(\.0*)?\s*(,|$)", re.IGNORECASE)

VERSION_HEADER = "X-Flagsmith-Document-Updated-At"


class Answer(NamedTuple):
    """What whoever serves it sends, by Django or ahead of it."""

    updated_at: UpdatedAt
    body: bytes
    packed: bytes | None = None
    """The body, compressed by gzip. None: not worth it."""
    status: int = 200

    @property
    def size(self) -> int:
        """Bytes of memory."""
        return len(self.body) + len(self.packed or b"")

    def told_to(self, accept_encoding: str) -> tuple[bytes, dict[str, str]]:
        """The body for a client that accepts these encodings (the header's text), and its headers."""
        headers = {
            "Content-Type": "application/json",
            VERSION_HEADER: epoch_seconds(self.updated_at),
            "Vary": f"{HEADER}, Accept-Encoding",
        }
        if self.packed is None or "gzip" not in accept_encoding or GZIP_REFUSED.search(accept_encoding):
            return self.body, headers
        return self.packed, {**headers, "Content-Encoding": "gzip"}

    def response(self, request: HttpRequest) -> HttpResponse:
        """The same by Django."""
        body, headers = self.told_to(request.headers.get("Accept-Encoding", ""))
        return HttpResponse(body, status=self.status, headers=headers)


class Refusal(NamedTuple):
    """An answer that is none: why there is no other one at the moment."""

    status: int
    body: bytes
    headers: dict[str, str]

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
    return Answer(entry.version.updated_at, entry.document_body.encoded, entry.document_body.packed)


def _identity_flags(entry: Entry, identified: Identified, server: bool) -> list[Flag]:
    found = entry.evaluator.identity_flags(identified.identifier, identified.trait_values, identified.id)
    return entry.visible(found, server)


def _feature_not_found(entry: Entry) -> Answer:
    return Answer(entry.version.updated_at, b'{"detail":"Given feature not found"}', status=404)


def _answer(entry: Entry, body: bytes) -> Answer:
    return Answer(entry.version.updated_at, body)
