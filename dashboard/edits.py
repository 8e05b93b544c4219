"""Optimistic locking of the dashboard's forms: a save changes only what was typed, and never an unseen newer state.

A form carries a digest of each field that it shows in a hidden field, ``SHOWN``. A save holds the lock of what it
changes (a page's ``locked_environment`` or ``locked_project``), reads what is stored, and compares. If somebody else
has changed a field since, nothing is saved: the form comes back with a sentence that names the field and its present
value, with what its user typed, and with the present state in every other field. Otherwise only the fields that differ
from what is stored are posted. A form without digests (a script's) is compared with nothing.
"""

import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

SHOWN = "shown"
"""The name of the hidden field."""

CONFLICT = "This has been changed since you opened it."
KEPT = "What you have changed is still in the form: save again to apply it to that."

# Characters of a text that a sentence has.
LONGEST = 60

Values = Mapping[str, Any]
"""A form's fields by name, in types that JSON has. Equal values are the same state."""


def token(stored: Values) -> str:
    """What the hidden field of a form that shows this is to hold."""
    return json.dumps({name: _digest(value) for name, value in stored.items()}, separators=(",", ":"))


class Edit:
    """A form that was sent."""

    def __init__(self, form: Mapping[str, str], *, stored: Values, typed: Values) -> None:
        self._shown = _digests(form[SHOWN]) if SHOWN in form else {name: _digest(stored[name]) for name in stored}
        self._stored, self.typed = stored, typed

    @property
    def newer(self) -> list[str]:
        """The fields that somebody else has changed since the form was shown."""
        names = dict.fromkeys([*self._stored, *self._shown])
        return [name for name in names if self._digest_of_stored(name) != self._shown.get(name)]

    @property
    def changed(self) -> list[str]:
        """The fields in which something else was typed than is stored: what there is to save."""
        return [name for name, value in self.typed.items() if value != self._stored.get(name)]

    @property
    def untouched(self) -> set[str]:
        """The fields that its user left as they were shown."""
        return {name for name in self._stored if _digest(self.typed.get(name)) == self._shown.get(name)}

    @property
    def merged(self) -> dict[str, Any]:
        """What its user typed, and what is stored by now in the fields that they left as they were shown."""
        return {**self.typed, **{name: self._stored[name] for name in self.untouched}}

    def refusal(self, describe: Callable[[str], str]) -> str:
        """Why it is not saved; "" if nothing is newer. ``describe`` gives a sentence about a field as it is now."""
        if not self.newer:
            return ""
        return " ".join([CONFLICT, *dict.fromkeys(describe(name) for name in self.newer), KEPT])

    def _digest_of_stored(self, name: str) -> str | None:
        return _digest(self._stored[name]) if name in self._stored else None


def unix_lines(text: str) -> str:
    """Text with its lines ended as they are stored: browsers send each end of a line as two characters."""
    return text.replace("\r\n", "\n")


def described(label: str, value: Any) -> str:
    """The sentence about a field of this label: ``The description is “red” now.``"""
    match value:
        case bool():
            text = "on" if value else "off"
        case list():
            text = ", ".join(value) or "empty"
        case _:
            text = quoted(value or "")
    return f"{label} is {text} now."


def quoted(text: str) -> str:
    """Text as sentences have it."""
    if not text:
        return "empty"
    return f"“{text if len(text) <= LONGEST else text[: LONGEST - 1] + '…'}”"


def _digest(value: Any) -> str:
    return sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _digests(text: str) -> dict[str, str]:
    """What a hidden field brought back. What no page of ours has made was shown nothing that is stored."""
    try:
        digests = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return digests if isinstance(digests, dict) else {}
