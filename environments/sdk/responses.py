"""Answers to SDKs: bytes of JSON that are ready, under the version that they are of."""

from django.http import HttpResponse

from environments.cache import Entry
from environments.evaluation import Flag
from environments.sdk.authentication import HEADER
from environments.sdk.identify import Identified
from environments.sdk.shapes import encode
from realtime.types import epoch_seconds

VERSION_HEADER = "X-Flagsmith-Document-Updated-At"


def flags(entry: Entry, server: bool) -> HttpResponse:
    """All flags of the environment."""
    return _answer(entry, entry.encoded_flags_for_servers if server else entry.encoded_flags)


def flag(entry: Entry, name: str, server: bool) -> HttpResponse:
    """One flag of the environment, by its feature's name."""
    for each in entry.visible(entry.evaluator.environment_flags(), server):
        if each.state.feature.name == name:
            return _answer(entry, encode(entry.shapes.flag(each)).encode())
    return _feature_not_found(entry)


def identity(entry: Entry, identified: Identified, server: bool) -> HttpResponse:
    """An identity with its flags and traits."""
    seen = () if entry.document.content["hide_sensitive_data"] else identified.traits.values()
    traits = encode([trait._asdict() for trait in seen])
    flags = ",".join([entry.shapes.identity_flag(each) for each in _identity_flags(entry, identified, server)])
    body = f'{{"identifier":{encode(identified.identifier)},"traits":{traits},"flags":[{flags}]}}'
    return _answer(entry, body.encode())


def identity_flag(entry: Entry, identified: Identified, name: str, server: bool) -> HttpResponse:
    """One flag of an identity, by its feature's name."""
    for each in _identity_flags(entry, identified, server):
        if each.state.feature.name == name:
            return _answer(entry, entry.shapes.identity_flag(each).encode())
    return _feature_not_found(entry)


def document(entry: Entry) -> HttpResponse:
    """The environment document."""
    return _answer(entry, entry.encoded)


def _identity_flags(entry: Entry, identified: Identified, server: bool) -> list[Flag]:
    found = entry.evaluator.identity_flags(identified.identifier, identified.trait_values, identified.id)
    return entry.visible(found, server)


def _feature_not_found(entry: Entry) -> HttpResponse:
    return _answer(entry, b'{"detail":"Given feature not found"}', status=404)


def _answer(entry: Entry, body: bytes, status: int = 200) -> HttpResponse:
    headers = {VERSION_HEADER: epoch_seconds(entry.version.updated_at), "Vary": HEADER}
    return HttpResponse(body, status=status, content_type="application/json", headers=headers)
