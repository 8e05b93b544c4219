"""Optimistic locking of the dashboard's forms: a save never overwrites a change that its user has not seen.

A form carries digests of the stored fields in the hidden field ``DIGESTS``. A save holds the lock of the object (a
page's ``locked_environment`` or ``locked_project``), reads the stored fields and compares. If another user has changed
a field since, nothing is saved: the form is rendered again with a message that names the field and its present value,
with the user's input, and with the stored values in all fields that the user left unchanged. Otherwise only the fields
that differ from the stored ones are posted. A form without digests (a script's) is not compared.
"""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

DIGESTS = "digests"
"""The name of the hidden field."""

CONFLICT = "This has been changed since you opened it."
INPUT_KEPT = "What you have changed is still in the form: save again to apply it to that."

MAX_QUOTED_LENGTH = 60

Values = Mapping[str, Any]
"""A form's fields by name, in types that JSON has. Equal values are the same state."""


def encoded_digests(stored: Values) -> str:
    """The value of the hidden field for a form that shows ``stored``."""
    return json.dumps({name: _digest(value) for name, value in stored.items()}, separators=(",", ":"))


class Edit:
    """A submitted form compared with the stored values."""

    def __init__(self, form: Mapping[str, str], *, stored: Values, typed: Values) -> None:
        if DIGESTS in form:
            self._digests = _decoded_digests(form[DIGESTS])
        else:
            self._digests = {name: _digest(stored[name]) for name in stored}
        self._stored, self.typed = stored, typed

    @property
    def conflicting(self) -> list[str]:
        """The fields that another user has changed since the form was rendered."""
        names = dict.fromkeys([*self._stored, *self._digests])
        return [name for name in names if self._digest_of_stored(name) != self._digests.get(name)]

    @property
    def changed(self) -> list[str]:
        """The fields whose typed value differs from the stored one: these have to be saved."""
        return [name for name, value in self.typed.items() if value != self._stored.get(name)]

    @property
    def untouched(self) -> set[str]:
        """The fields that the user left as they were rendered."""
        return {name for name in self._stored if _digest(self.typed.get(name)) == self._digests.get(name)}

    @property
    def merged(self) -> dict[str, Any]:
        """The typed values, with the stored ones in untouched fields."""
        return {**self.typed, **{name: self._stored[name] for name in self.untouched}}

    def conflict_message(self, describe: Callable[[str], str]) -> str:
        """The reason why the form is not saved; "" without a conflict. ``describe`` returns a sentence about the
        present value of a field."""
        if not self.conflicting:
            return ""
        return " ".join([CONFLICT, *dict.fromkeys(describe(name) for name in self.conflicting), INPUT_KEPT])

    def _digest_of_stored(self, name: str) -> str | None:
        return _digest(self._stored[name]) if name in self._stored else None


def unix_lines(text: str) -> str:
    """``text`` with the line ends that are stored: browsers send CRLF."""
    return text.replace("\r\n", "\n")


def describe_field(label: str, value: Any) -> str:
    """A sentence about a field's present value: ``The description is “red” now.``"""
    match value:
        case bool():
            text = "on" if value else "off"
        case list():
            text = ", ".join(value) or "empty"
        case _:
            text = quoted(value or "")
    return f"{label} is {text} now."


def quoted(text: str) -> str:
    """``text`` in quotes and shortened, for use in a sentence."""
    if not text:
        return "empty"
    return f"“{text if len(text) <= MAX_QUOTED_LENGTH else text[: MAX_QUOTED_LENGTH - 1] + '…'}”"


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _decoded_digests(text: str) -> dict[str, str]:
    """The digests in a hidden field's value. An invalid value has none, so every field conflicts."""
    try:
        digests = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return digests if isinstance(digests, dict) else {}
