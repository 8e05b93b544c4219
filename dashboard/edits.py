"""Optimistic locking of the dashboard's forms: a save never overwrites a change that its user has not seen.

A form carries digests of the stored fields in the signed hidden field ``DIGESTS``, and the values if they are short. A
save holds the lock of the object (a page's ``locked_environment`` or ``locked_project``), reads the stored fields and
compares. If another user has changed a field since, nothing is saved: ``Conflict`` is raised, and ``Page`` responds
with a comparison of the values before, theirs and yours, for every form in the same way. There the user chooses for
each field and saves, or goes on editing. Without a conflict only the fields that differ from the stored ones are saved.
A form without digests (a script's) is not compared.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from django.core import signing

DIGESTS = "digests"
"""The name of the hidden field."""

CHOICE = "keep:"
"""The prefix of a comparison's choices, by field: "theirs" or "yours"."""

EDIT = "edit"
"""The name of the comparison's button that shows the form again in place of a save."""

CONFLICT = "This has been changed since you opened it."
REMOVED = "A field that the form showed was removed."
NOT_SAVED_YET = "Your changes are in the form, and are not saved yet."

SALT = "dashboard.edits"

MAX_QUOTED_LENGTH = 60

# Longer values are not carried by a form, so the comparison cannot show what they were.
MAX_CARRIED_LENGTH = 50_000

Values = Mapping[str, Any]
"""A form's fields by name, in types that JSON has. Equal values are the same state."""


@dataclass(frozen=True)
class Field:
    """A field and its present value, as people read them."""

    label: str
    value: Any
    show: Callable[[Any], str]
    sentence: str = ""

    def __str__(self) -> str:
        """A sentence about the present value: ``The description is “red” now.``"""
        return self.sentence or f"{self.label} is {shortened(self.show(self.value))} now."


Describe = Callable[[str], Field]
"""Returns the stored field of this name."""


class Conflict(Exception):
    """Another user has changed a field that a submitted form shows."""

    def __init__(self, edit: "Edit", describe: Describe) -> None:
        self.edit, self.describe = edit, describe

    @property
    def message(self) -> str:
        stored = self.edit.stored
        sentences = [str(self.describe(name)) if name in stored else REMOVED for name in self.edit.conflicting]
        return " ".join([CONFLICT, *dict.fromkeys(sentences)])

    @property
    def differences(self) -> list["Difference"]:
        """The fields that either user has changed."""
        return [self._difference(name) for name in self.edit.differing if name in self.edit.stored]

    def _difference(self, name: str) -> "Difference":
        edit, field = self.edit, self.describe(name)
        label = field.label.removeprefix("The ")
        before = field.show(edit.carried[name]) if name in edit.carried else "not known"
        kept = "" if edit.is_contested(name) else "theirs" if name in edit.conflicting else "yours"
        theirs, yours = field.show(field.value), field.show(edit.typed.get(name))
        return Difference(name, label[:1].upper() + label[1:], before, theirs, yours, kept)


@dataclass(frozen=True)
class Difference:
    """A row of the comparison."""

    name: str
    label: str
    before: str
    theirs: str
    yours: str
    kept: str
    """The value that is kept, "theirs" or "yours", if only one user has changed the field; "" if the user chooses."""

    @property
    def choice(self) -> str:
        """The name of the choice in the comparison's form."""
        return CHOICE + self.name


def encoded_digests(stored: Values) -> str:
    """The value of the hidden field for a form that shows ``stored``."""
    return signing.dumps({name: _carried(value) for name, value in stored.items()}, salt=SALT, compress=True)


class Edit:
    """A submitted form compared with the stored values."""

    def __init__(self, form: Mapping[str, str], *, stored: Values, typed: Values) -> None:
        if DIGESTS in form:
            decoded = _decoded(form[DIGESTS])
        else:
            decoded = {name: [_digest(value)] for name, value in stored.items()}
        self._digests = {name: digest for name, (digest, *_) in decoded.items()}
        self.carried = {name: value for name, (_, *values) in decoded.items() for value in values}
        """The values that the form showed, except long ones."""
        self._theirs = {name for name in stored if form.get(CHOICE + name) == "theirs"}
        self._is_edited_further = EDIT in form
        self.stored, self.typed = stored, typed

    @property
    def conflicting(self) -> list[str]:
        """The fields that another user has changed since the form was rendered."""
        names = dict.fromkeys([*self.stored, *self._digests])
        return [name for name in names if self._digest_of_stored(name) != self._digests.get(name)]

    @property
    def changed(self) -> list[str]:
        """The fields whose typed value differs from the stored one: these have to be saved."""
        return [
            name for name, value in self.typed.items() if value != self.stored.get(name) and name not in self._theirs
        ]

    @property
    def untouched(self) -> set[str]:
        """The fields that the user left as they were rendered, or whose stored value they have chosen."""
        return self._theirs | {name for name in self.stored if _digest(self.typed.get(name)) == self._digests.get(name)}

    @property
    def merged(self) -> dict[str, Any]:
        """The typed values, with the stored ones in untouched fields."""
        return {**self.typed, **{name: self.stored[name] for name in self.untouched}}

    @property
    def differing(self) -> list[str]:
        """The fields that either user has changed."""
        conflicting = self.conflicting
        yours = [name for name in self.stored if name not in conflicting and name in self.changed]
        return [*conflicting, *yours]

    def is_contested(self, name: str) -> bool:
        """Whether both users have changed the field, to different values."""
        return name in self.conflicting and name in self.changed and name not in self.untouched

    def conflict_message(self, describe: Describe) -> str:
        """Raise ``Conflict`` if another user has changed a field. Returns the reason why the form is not saved if the
        user goes on editing after a comparison, otherwise ""."""
        if self.conflicting:
            raise Conflict(self, describe)
        return NOT_SAVED_YET if self._is_edited_further else ""

    def _digest_of_stored(self, name: str) -> str | None:
        return _digest(self.stored[name]) if name in self.stored else None


def unix_lines(text: str) -> str:
    """``text`` with the line ends that are stored: browsers send CRLF."""
    return text.replace("\r\n", "\n")


def describe_field(label: str, value: Any, show: Callable[[Any], str] | None = None, *, sentence: str = "") -> Field:
    """A field with its present value. ``show`` returns a value as text; by default as ``shown`` does."""
    return Field(label, value, show or shown, sentence)


def shown(value: Any) -> str:
    """A value as text: ``on``, ``“red”``, ``a, b`` or ``empty``."""
    match value:
        case bool():
            return "on" if value else "off"
        case list():
            return ", ".join(map(str, value)) or "empty"
        case None:
            return "empty"
    return quoted(str(value))


def named(keys: list[str], names: Mapping[str, str]) -> str:
    """A list of keys as text, with their names."""
    return shown([names.get(key, key) for key in keys])


def quoted(text: str) -> str:
    """``text`` in quotes, for use in a sentence."""
    return f"“{text}”" if text else "empty"


def shortened(text: str) -> str:
    """A value as text, shortened for use in a sentence."""
    if len(text) <= MAX_QUOTED_LENGTH + 2:
        return text
    return f"{text[:MAX_QUOTED_LENGTH]}…{'”' if text.startswith('“') else ''}"


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _carried(value: Any) -> list[Any]:
    return [_digest(value)] if len(json.dumps(value)) > MAX_CARRIED_LENGTH else [_digest(value), value]


def _decoded(text: str) -> dict[str, list[Any]]:
    """Digests and values in a hidden field's value. One that was not rendered here has none, so every field
    conflicts."""
    try:
        decoded: dict[str, list[Any]] = signing.loads(text, salt=SALT)
    except signing.BadSignature:
        return {}
    return decoded
