"""Identities and traits that SDKs send: reads them, stores them, and adds the transient ones for one response.

Traits are in no environment document, so storing them raises no version and publishes no event.
"""

import hashlib
import uuid
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypedDict

from django.conf import settings
from django.db import router, transaction
from django.db.models import QuerySet

from core.locks import lock_environment_shared
from environments.identities.models import Identity as IdentityModel
from environments.identities.traits.limits import TooManyTraits
from environments.identities.traits.models import Trait, TraitValue
from realtime import prepared
from realtime.evaluation import Identity, IdentityTrait

# The column of each type's value.
VALUE_COLUMNS = {
    Trait.ValueType.STRING: "string_value",
    Trait.ValueType.INTEGER: "integer_value",
    Trait.ValueType.BOOLEAN: "boolean_value",
    Trait.ValueType.FLOAT: "float_value",
}

VALUE_INDEXES = {kind: index for index, kind in enumerate(VALUE_COLUMNS)}

# A query by more identifiers is compiled each time it runs.
MAX_PREPARED_IDENTIFIERS = 128

# Disk space of a row without its texts, with its index entries. Measured on SQLite and PostgreSQL: an identity of 13
# characters takes 85 and 161 bytes, a trait of 17 characters 101 and 151 bytes.
ROW_BYTES = 150

StorageCheck = Callable[[int], bool]
"""Returns whether this number of bytes may be stored."""

TraitChanges = Mapping[str, Mapping[str, TraitValue]]
"""New trait values by identifier and trait key. None removes the trait."""


class TraitInput(TypedDict):
    """A validated trait of a request body."""

    trait_key: str
    trait_value: TraitValue
    transient: bool | None


@dataclass
class RequestIdentity(Identity):
    """The identity of a request, and the traits that its flags are evaluated with. Without ``id``, it is not stored."""

    def add_unstored(self, items: Iterable[TraitInput], transient: bool) -> None:
        """Add traits that are not stored, only for this response. A value of None removes the trait."""
        for item in items:
            key, value = item["trait_key"], item["trait_value"]
            if value is None:
                self.traits.pop(key, None)
            else:
                self.traits[key] = IdentityTrait(None, key, value, transient)

    def traits_to_store(
        self, items: Iterable[TraitInput], *, transient: bool, persist_traits: bool
    ) -> dict[str, TraitValue] | None:
        """The traits of a request to store. None: nothing has to be stored, not even the identity."""
        if transient:
            return None
        to_store: dict[str, TraitValue] = {}
        if persist_traits:
            to_store = self.within_trait_limit({key: item["trait_value"] for key, item in _persistent(items).items()})
        return to_store if self.id is None or self.would_change(to_store) else None

    def with_unstored(self, items: Sequence[TraitInput], *, transient: bool) -> "RequestIdentity":
        """The identity of this request: with the traits that are not stored as well."""
        identity = RequestIdentity(self.identifier, self.id, dict(self.traits))
        if transient:
            identity.add_unstored(items, transient=True)
            return identity
        stored = self.trait_values
        persistent = _persistent(items).items()
        unstored = [item for key, item in persistent if not _equal(stored.get(key), item["trait_value"])]
        identity.add_unstored(unstored, transient=False)
        identity.add_unstored([item for item in items if item["transient"]], transient=True)
        return identity

    def would_change(self, traits: Mapping[str, TraitValue]) -> bool:
        """Return whether storing these traits would change the stored ones."""
        stored = self.trait_values
        return any(not _equal(stored.get(key), value) for key, value in traits.items())

    def within_trait_limit(self, traits: Mapping[str, TraitValue]) -> dict[str, TraitValue]:
        """Those of these traits that can be stored within ``MAX_TRAITS_PER_IDENTITY``."""
        removed = [key for key, value in traits.items() if value is None and key in self.traits]
        available = settings.MAX_TRAITS_PER_IDENTITY - len(self.traits) + len(removed)
        new = [key for key, value in traits.items() if value is not None and key not in self.traits]
        over_limit = set(new[max(available, 0) :])
        return {key: value for key, value in traits.items() if key not in over_limit}

    def storage_bytes(self, traits: Mapping[str, TraitValue]) -> int:
        """The estimated bytes that storing these traits would write."""
        stored = self.trait_values
        written = [
            ROW_BYTES + len(key.encode()) + (len(value.encode()) if isinstance(value, str) else 0)
            for key, value in traits.items()
            if value is not None and not _equal(stored.get(key), value)
        ]
        return sum(written) + (ROW_BYTES + len(self.identifier.encode()) if self.id is None else 0)


def identify(
    environment_id: int,
    identifier: str,
    items: list[TraitInput],
    *,
    transient: bool,
    persist_traits: bool,
    may_store: StorageCheck,
) -> RequestIdentity:
    """The identity with these traits. Stores it and its new traits, unless they are transient or not to be persisted.

    Traits over a storage limit are used for this response only. With an error instead, the SDK would have no flags.
    """
    identity = read(environment_id, [identifier])[identifier]
    to_store = identity.traits_to_store(items, transient=transient, persist_traits=persist_traits)
    if to_store is not None and may_store(identity.storage_bytes(to_store)):
        with suppress(TooManyTraits):  # A concurrent request has added traits.
            store(environment_id, {identifier: to_store})
        identity = read(environment_id, [identifier])[identifier]
    return identity.with_unstored(items, transient=transient)


def anonymous(items: list[TraitInput]) -> RequestIdentity:
    """An identity without an identifier. A hash of the traits takes its place, so equal traits get equal flags."""
    given = [item for item in sorted(items, key=lambda item: item["trait_key"]) if item["trait_value"] is not None]
    text = "".join(f"{item['trait_key']}{item['trait_value']}" for item in given)
    identity = RequestIdentity(hashlib.sha256(text.encode()).hexdigest() if items else uuid.uuid4().hex)
    identity.add_unstored(items, transient=True)
    return identity


def unstored(
    environment_id: int, identifier: str, items: list[TraitInput], *, with_stored_traits: bool
) -> RequestIdentity:
    """The identity of an evaluation that stores nothing. Given traits take precedence over stored ones."""
    if not identifier:
        return anonymous(items)
    identity = read(environment_id, [identifier])[identifier]
    if not with_stored_traits:
        identity.traits = {}
    return identity.with_unstored(items, transient=True)


def candidate(
    environment_id: int, identifier: str, items: list[TraitInput], *, with_stored_traits: bool
) -> RequestIdentity:
    """The identity of a check against one segment. Without an identifier it has no place in percentage splits."""
    if not identifier:
        identity = RequestIdentity("")
        identity.add_unstored(items, transient=True)
        return identity
    return unstored(environment_id, identifier, items, with_stored_traits=with_stored_traits)


def store(environment_id: int, changes: TraitChanges) -> None:
    """Set traits of many identities, and create the new identities, with at most eight queries.

    Raises TooManyTraits, and stores nothing, if an identity would have more than ``MAX_TRAITS_PER_IDENTITY``.
    """
    with transaction.atomic():
        if not lock_environment_shared(environment_id):
            return  # The environment was deleted by a concurrent request.
        identities = _lock_identities(environment_id, list(changes))
        stored: defaultdict[int, dict[str, Trait]] = defaultdict(dict)
        for trait in Trait.objects.filter(identity__in=identities.values()):
            stored[trait.identity_id][trait.trait_key] = trait
        written: list[Trait] = []
        removed: list[int] = []
        for identifier, pk in identities.items():
            written_traits, removed_ids = _difference(pk, stored[pk], changes[identifier])
            written += written_traits
            removed += removed_ids
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
    identity_id: int, stored: Mapping[str, Trait], changes: Mapping[str, TraitValue]
) -> tuple[list[Trait], list[int]]:
    """The traits to write, and the primary keys of those to remove. Raises TooManyTraits."""
    removed = [stored[key].pk for key, value in changes.items() if value is None and key in stored]
    written = []
    for key, value in changes.items():
        if value is not None and not (key in stored and _equal(stored[key].trait_value, value)):
            written.append(Trait(identity_id=identity_id, trait_key=key))
            written[-1].trait_value = value
    new = sum(trait.trait_key not in stored for trait in written)
    if new and len(stored) - len(removed) + new > settings.MAX_TRAITS_PER_IDENTITY:
        raise TooManyTraits
    return written, removed


def _lock_identities(environment_id: int, identifiers: list[str]) -> dict[str, int]:
    """Create the new identities, lock all in primary-key order, and return their primary keys by identifier.

    The lock serialises concurrent writes of one identity's traits. An identity that a concurrent request deletes is
    left out, as if its traits had been stored before the deletion.
    """
    rows = (
        IdentityModel.objects.filter(environment_id=environment_id, identifier__in=identifiers)
        .order_by("pk")
        .select_for_update(no_key=True)
        .values_list("identifier", "pk")
    )
    found = dict(rows)
    missing = [identifier for identifier in identifiers if identifier not in found]
    if missing:
        IdentityModel.objects.bulk_create(
            [IdentityModel(environment_id=environment_id, identifier=identifier) for identifier in sorted(missing)],
            ignore_conflicts=True,
        )
        found = dict(rows.all())
    return found


def read(environment_id: int, identifiers: Collection[str]) -> dict[str, RequestIdentity]:
    """These identities with their stored traits, in one query. Those that are not stored have no ``id``."""
    found = {identifier: RequestIdentity(identifier) for identifier in identifiers}
    for identifier, pk, trait, key, kind, *values in _rows(environment_id, list(found)):
        identity = found[identifier]
        identity.id = pk
        value = values[VALUE_INDEXES[kind]] if kind in VALUE_INDEXES else None
        if value is not None:
            identity.traits[key] = IdentityTrait(trait, key, value, False)
    return found


def _rows(environment_id: int, identifiers: list[str]) -> Iterable[Sequence[Any]]:
    number = len(identifiers)
    if not 0 < number <= MAX_PREPARED_IDENTIFIERS:
        return _query(environment_id, *identifiers)
    # The SQL depends on the number. It is compiled for powers of two, and the last identifier is repeated.
    repeated = identifiers[-1:] * ((1 << (number - 1).bit_length()) - number)
    return prepared.rows(_query, router.db_for_read(IdentityModel), environment_id, *identifiers, *repeated)


def _query(environment_id: int, *identifiers: str) -> "QuerySet[IdentityModel, tuple[Any, ...]]":
    rows = IdentityModel.objects.filter(environment_id=environment_id, identifier__in=identifiers)
    paths = (f"identity_traits__{name}" for name in ("id", "trait_key", "value_type", *VALUE_COLUMNS.values()))
    return rows.order_by("identity_traits").values_list("identifier", "pk", *paths)


def _persistent(items: Iterable[TraitInput]) -> dict[str, TraitInput]:
    """The traits that are not transient, by key. The last one of a key counts."""
    return {item["trait_key"]: item for item in items if not item["transient"]}


def _equal(one: TraitValue, other: TraitValue) -> bool:
    """Return whether value and type are equal: 1, 1.0 and true differ."""
    return type(one) is type(other) and one == other
