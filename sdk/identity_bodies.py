"""Parser of ``identities/`` bodies for the fast path, with the same result as ``IdentitiesSerializer``.

It parses the bodies that SDKs send. All others, which the serializer could convert or reject, are left to it.
"""

import math
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from django.conf import settings

from core.parsers import parse_json
from sdk.identify import TraitInput
from sdk.serializers import (
    INTEGERS,
    MAX_IDENTIFIER_BYTES,
    MAX_IDENTIFIER_LENGTH,
    MAX_TRAIT_KEY_LENGTH,
    MAX_TRAIT_STRING_LENGTH,
)

FIELDS = frozenset(("identifier", "transient", "traits"))
TRAIT_FIELDS = frozenset(("trait_key", "trait_value", "transient"))


@dataclass(frozen=True)
class IdentityBody:
    """A valid body of ``identities/`` with an identifier. Equal if the bytes are equal: 1 and true differ as traits."""

    encoded: bytes
    identifier: str = field(compare=False)
    traits: list[TraitInput] = field(compare=False)
    transient: bool = field(compare=False)


def parse(encoded: bytes) -> IdentityBody | None:
    """The body, if it has only fields of usual types, within the serializer's limits."""
    try:
        body = parse_json(encoded)
    except (ValueError, RecursionError):
        return None
    if not (isinstance(body, dict) and body.keys() <= FIELDS):
        return None
    identifier, transient, items = body.get("identifier"), body.get("transient", False), body.get("traits", [])
    if not _is_text(identifier, MAX_IDENTIFIER_LENGTH) or len(identifier.encode()) > MAX_IDENTIFIER_BYTES:
        return None
    if not isinstance(transient, bool) or not _are_plain_traits(items):
        return None
    return IdentityBody(encoded, identifier, [{"transient": False, **item} for item in items], transient)


def _are_plain_traits(items: Any) -> TypeGuard[list[TraitInput]]:
    return (
        isinstance(items, list)
        and len(items) <= settings.MAX_TRAITS_PER_IDENTITY
        and all(_is_plain_trait(item) for item in items)
    )


def _is_plain_trait(item: Any) -> TypeGuard[TraitInput]:
    return (
        isinstance(item, dict)
        and item.keys() <= TRAIT_FIELDS
        and _is_text(item.get("trait_key"), MAX_TRAIT_KEY_LENGTH)
        and "trait_value" in item
        and _is_plain_value(item["trait_value"])
        and isinstance(item.get("transient", False), bool)
    )


def _is_plain_value(value: Any) -> bool:
    match value:
        case None | bool():
            return True
        case str():
            return len(value) <= MAX_TRAIT_STRING_LENGTH and "\0" not in value
        case int():
            return value in INTEGERS
        case float():
            return math.isfinite(value)
    return False


def _is_text(value: Any, max_length: int) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= max_length and "\0" not in value
