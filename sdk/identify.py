"""Identities and their traits as SDKs send them: what is stored, and what counts for one answer only.

Nothing here is an event, and nothing raises a version: a document holds no traits.
"""

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import NamedTuple, TypedDict

from django.conf import settings
from django.db import transaction

from core.locks import lock_environment_shared
from environments.identities.models import Identity
from environments.identities.traits.limits import TooManyTraits
from environments.identities.traits.models import Trait, TraitValue

# The column of each type's value.
VALUE_COLUMNS = {
    Trait.ValueType.STRING: "string_value",
    Trait.ValueType.INTEGER: "integer_value",
    Trait.ValueType.BOOLEAN: "boolean_value",
    Trait.ValueType.FLOAT: "float_value",
}

# Bytes of the disk that a row takes beside its texts, with its entries in indexes. Measured on SQLite and PostgreSQL:
# an identity of 13 characters takes 85 and 161, a trait of 17 characters 101 and 151.
ROW_BYTES = 150

MayStore = Callable[[int], bool]
"""Whether so many bytes more may be stored."""

Changes = Mapping[str, Mapping[str, TraitValue]]
"""By identifier, then by the trait's key. None takes the trait away."""


class TraitInput(TypedDict):
    """A trait of a request's body, validated."""

    trait_key: str
    trait_value: TraitValue
    transient: bool | None


class SeenTrait(NamedTuple):
    """A trait that counts for an answer; only a stored one has an ``id``."""

    id: int | None
    trait_key: str
    trait_value: TraitValue
    transient: bool


@dataclass
class Identified:
    """Who asks: an identity, stored if it has an ``id``, with the traits that count, by their keys."""

    identifier: str
    id: int | None = None
    traits: dict[str, SeenTrait] = field(default_factory=dict)

    @property
    def trait_values(self) -> dict[str, TraitValue]:
        return {key: trait.trait_value for key, trait in self.traits.items()}

    def overlay(self, items: Iterable[TraitInput], transient: bool) -> None:
        """Let traits count that are not stored."""
        for item in items:
            key, value = item["trait_key"], item["trait_value"]
            if value is None:
                self.traits.pop(key, None)
            else:
                self.traits[key] = SeenTrait(None, key, value, transient)

    def differs(self, traits: Mapping[str, TraitValue]) -> bool:
        """Whether storing these traits would change anything."""
        present = self.trait_values
        return any(not _same(present.get(key), value) for key, value in traits.items())

    def fitting(self, traits: Mapping[str, TraitValue]) -> dict[str, TraitValue]:
        """Of these traits those that the identity, as it is stored, has room for."""
        removed = [key for key, value in traits.items() if value is None and key in self.traits]
        room = settings.MAX_TRAITS_PER_IDENTITY - len(self.traits) + len(removed)
        new = [key for key, value in traits.items() if value is not None and key not in self.traits]
        too_many = set(new[max(room, 0) :])
        return {key: value for key, value in traits.items() if key not in too_many}

    def bytes_of(self, traits: Mapping[str, TraitValue]) -> int:
        """What storing these traits would write: an estimate."""
        present = self.trait_values
        written = [
            ROW_BYTES + len(key.encode()) + (len(value.encode()) if isinstance(value, str) else 0)
            for key, value in traits.items()
            if value is not None and not _same(present.get(key), value)
        ]
        return sum(written) + (ROW_BYTES + len(self.identifier.encode()) if self.id is None else 0)


def identify(
    environment_id: int,
    identifier: str,
    items: list[TraitInput],
    *,
    transient: bool,
    persist_traits: bool,
    may_store: MayStore,
) -> Identified:
    """The identity with these traits set. Stores what is new, unless it is transient or not to be persisted.

    What may not be stored, because there is too much of it, counts for this answer all the same: an SDK that got an
    error instead would have no flags.
    """
    identified = read(environment_id, [identifier])[identifier]
    if transient:
        identified.overlay(items, transient=True)
        return identified
    lasting = {item["trait_key"]: item for item in items if not item["transient"]}
    kept = identified.fitting({key: item["trait_value"] for key, item in lasting.items()}) if persist_traits else {}
    changes = identified.id is None or identified.differs(kept)
    if changes and may_store(identified.bytes_of(kept)):
        with suppress(TooManyTraits):  # Another request has taken the room meanwhile.
            store(environment_id, {identifier: kept})
        identified = read(environment_id, [identifier])[identifier]
    stored = identified.trait_values
    unstored = [item for key, item in lasting.items() if not _same(stored.get(key), item["trait_value"])]
    identified.overlay(unstored, transient=False)
    identified.overlay([item for item in items if item["transient"]], transient=True)
    return identified


def anonymous(items: list[TraitInput]) -> Identified:
    """Somebody without an identifier. The traits make one, so the same traits always get the same flags."""
    told = [item for item in sorted(items, key=lambda item: item["trait_key"]) if item["trait_value"] is not None]
    text = "".join(f"{item['trait_key']}{item['trait_value']}" for item in told)
    identified = Identified(hashlib.sha256(text.encode()).hexdigest() if items else uuid.uuid4().hex)
    identified.overlay(items, transient=True)
    return identified


def store(environment_id: int, changes: Changes) -> None:
    """Set traits of many identities, and create those identities that are new. Eight queries at most.

    Raises TooManyTraits, and stores nothing, if an identity would get more than ``MAX_TRAITS_PER_IDENTITY``.
    """
    with transaction.atomic():
        if not lock_environment_shared(environment_id):
            return  # Deleted a moment ago.
        identities = _locked(environment_id, list(changes))
        stored: defaultdict[int, dict[str, Trait]] = defaultdict(dict)
        for trait in Trait.objects.filter(identity__in=identities.values()):
            stored[trait.identity_id][trait.trait_key] = trait
        written: list[Trait] = []
        removed: list[int] = []
        for identifier, pk in identities.items():
            new, gone = _difference(pk, stored[pk], changes[identifier])
            written += new
            removed += gone
        if removed:
            Trait.objects.filter(pk__in=removed).delete()
        if written:
            Trait.objects.bulk_create(
                written,
                update_conflicts=True,
                unique_fields=["identity", "trait_key"],
                update_fields=["value_type", *VALUE_COLUMNS.values()],
            )


def _difference(
    identity_id: int, stored: Mapping[str, Trait], wanted: Mapping[str, TraitValue]
) -> tuple[list[Trait], list[int]]:
    """The traits to be written, and the primary keys of those to be removed. Raises TooManyTraits."""
    removed = [stored[key].pk for key, value in wanted.items() if value is None and key in stored]
    written = []
    for key, value in wanted.items():
        if value is not None and not (key in stored and _same(stored[key].trait_value, value)):
            written.append(Trait(identity_id=identity_id, trait_key=key))
            written[-1].trait_value = value
    new = sum(trait.trait_key not in stored for trait in written)
    if new and len(stored) - len(removed) + new > settings.MAX_TRAITS_PER_IDENTITY:
        raise TooManyTraits
    return written, removed


def _locked(environment_id: int, identifiers: list[str]) -> dict[str, int]:
    """The identities' primary keys. Locked, in one order: writers of one identity's traits follow each other.

    One that somebody deletes at this moment is missing. Its traits are as gone as if they had come before.
    """
    rows = (
        Identity.objects.filter(environment_id=environment_id, identifier__in=identifiers)
        .order_by("pk")
        .select_for_update(no_key=True)
        .values_list("identifier", "pk")
    )
    found = dict(rows)
    missing = [identifier for identifier in identifiers if identifier not in found]
    if missing:
        Identity.objects.bulk_create(
            [Identity(environment_id=environment_id, identifier=identifier) for identifier in sorted(missing)],
            ignore_conflicts=True,
        )
        found = dict(rows.all())
    return found


def read(environment_id: int, identifiers: Collection[str]) -> dict[str, Identified]:
    """What is stored of these identities, in one query. One that is new has no ``id``."""
    rows = Identity.objects.filter(environment_id=environment_id, identifier__in=identifiers)
    paths = (f"identity_traits__{name}" for name in ("id", "trait_key", "value_type", *VALUE_COLUMNS.values()))
    found = {identifier: Identified(identifier) for identifier in identifiers}
    for identifier, pk, trait, key, kind, *values in rows.order_by("identity_traits").values_list(
        "identifier", "pk", *paths
    ):
        identified = found[identifier]
        identified.id = pk
        value = dict(zip(VALUE_COLUMNS, values, strict=True)).get(kind)
        if value is not None:
            identified.traits[key] = SeenTrait(trait, key, value, False)
    return found


def _same(one: TraitValue, other: TraitValue) -> bool:
    """1, 1.0 and true are three values."""
    return type(one) is type(other) and one == other
