"""Identities in requests, parsed with the Edge Proxy's rules."""

import hashlib
import uuid
from math import inf
from typing import Any, NamedTuple

from realtime.evaluation import Identity, IdentityTrait
from realtime.evaluation.decoding import decode
from realtime.evaluation.identity import TraitValue
from realtime.relay.responding import InvalidRequest

MAX_TRAIT_LENGTH = 2_000


class PostedIdentity(NamedTuple):
    """The body of ``POST identities/``."""

    identifier: str
    traits: dict[str, TraitValue]
    is_transient: bool

    def identity(self) -> Identity:
        traits = {
            key: IdentityTrait(None, key, value, False) for key, value in self.traits.items() if value is not None
        }
        return Identity(self.identifier, traits=traits)


def parse(body: bytes) -> PostedIdentity:
    """Parse the body of ``POST identities/``. Raises InvalidRequest."""
    posted = parse_json(body)
    if not isinstance(posted, dict):
        raise InvalidRequest("model_attributes_type", ["body"], "Input should be an object")
    traits = _traits(posted.get("traits"))
    is_transient = posted.get("transient") is True
    identifier = posted.get("identifier")
    if identifier is None or identifier == "":
        if not traits and not is_transient:
            raise InvalidRequest("missing", ["body", "identifier"], "Field required")
        return PostedIdentity(_anonymous(traits), traits, True)
    if isinstance(identifier, (int, float)) and not isinstance(identifier, bool):
        identifier = str(identifier)
    if not isinstance(identifier, str):
        raise InvalidRequest("string_type", ["body", "identifier"], "Input should be a valid string")
    return PostedIdentity(identifier, traits, is_transient)


def parse_json(body: bytes) -> Any:
    """The body's JSON. Raises InvalidRequest."""
    try:
        return decode(body)
    except (ValueError, RecursionError) as error:
        raise InvalidRequest("json_invalid", ["body"], f"JSON decode error: {error}") from None


def _traits(value: Any) -> dict[str, TraitValue]:
    if value is None:
        return {}
    if not isinstance(value, list):
        raise InvalidRequest("list_type", ["body", "traits"], "Input should be a valid list")
    traits: dict[str, TraitValue] = {}
    for index, item in enumerate(value):
        where: list[str | int] = ["body", "traits", index]
        if not isinstance(item, dict):
            raise InvalidRequest("model_attributes_type", where, "Input should be an object")
        key, trait_value = item.get("trait_key"), item.get("trait_value")
        if "trait_key" not in item:
            raise InvalidRequest("missing", [*where, "trait_key"], "Field required")
        if not isinstance(key, str):
            raise InvalidRequest("string_type", [*where, "trait_key"], "Input should be a valid string")
        if trait_value is not None and not isinstance(trait_value, (str, int, float, bool)):
            message = "Input should be a text, a number, true, false or null"
            raise InvalidRequest("string_type", [*where, "trait_value"], message)
        if isinstance(trait_value, str) and len(trait_value) > MAX_TRAIT_LENGTH:
            message = f"String should have at most {MAX_TRAIT_LENGTH} characters"
            raise InvalidRequest("string_too_long", [*where, "trait_value"], message)
        if isinstance(trait_value, float) and abs(trait_value) == inf:
            raise InvalidRequest("finite_number", [*where, "trait_value"], "Input should be a finite number")
        traits[key] = trait_value
    return traits


def _anonymous(traits: dict[str, TraitValue]) -> str:
    """The identifier of an identity that has none, as Flagsmith makes it: equal traits get equal flags."""
    if not traits:
        return uuid.uuid4().hex
    text = "".join(f"{key}{traits[key]}" for key in sorted(traits) if traits[key] is not None)
    return hashlib.sha256(text.encode()).hexdigest()
