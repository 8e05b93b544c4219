"""A flag's value in a form: its type, and its text. The text "1" and the number 1 are two values, and stay two."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dashboard.edits import quoted, unix_lines
from features.values import Value, ValueType

KINDS = (("text", "Text"), ("number", "Number"), ("boolean", "Boolean"), ("json", "JSON"))
"""What a form offers. JSON is text that has to be JSON."""

# In the two formats of the API: of a flag as a whole, and of a value's columns.
FLAG_TYPES = {"text": "string", "json": "string", "number": "integer", "boolean": "boolean"}
COLUMNS = {
    "text": (ValueType.STRING, "string_value"),
    "json": (ValueType.STRING, "string_value"),
    "number": (ValueType.INTEGER, "integer_value"),
    "boolean": (ValueType.BOOLEAN, "boolean_value"),
}

# Longer text is not tried for being JSON: it would be for each row of a list.
LONGEST_TRIED = 5_000


@dataclass(frozen=True)
class Typed:
    """A value as a form has it."""

    kind: str
    text: str
    missing: bool = False
    """It stands for no value at all, as long as nobody types one."""

    @classmethod
    def of(cls, value: Value) -> "Typed":
        match value:
            case None:
                return cls("text", "", missing=True)
            case bool():
                return cls("boolean", str(value).lower())
            case int():
                return cls("number", str(value))
        return cls("json" if _looks_like_json(value) else "text", value)

    @classmethod
    def sent(cls, form: Mapping[str, str]) -> "Typed":
        """What a form was sent with: a boolean has controls of its own."""
        kind = form.get("kind", "")
        kind = kind if kind in FLAG_TYPES else "text"
        return cls(kind, form.get("truth", "") if kind == "boolean" else unix_lines(form.get("value", "")))

    @property
    def label(self) -> str:
        return dict(KINDS)[self.kind].lower() if self.kind != "json" else "JSON"

    @property
    def problem(self) -> str:
        """Why it is not what it was said to be, as far as the API does not know: to it, JSON is text like any other."""
        if self.kind != "json":
            return ""
        try:
            json.loads(self.text, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            return f"This is not JSON: {error}."
        return ""

    @property
    def written(self) -> str:
        """As sentences have it: text in quotes."""
        return quoted(self.text) if FLAG_TYPES[self.kind] == "string" else self.text

    @property
    def comparable(self) -> list[str]:
        """Equal to that of a value that says the same."""
        return [FLAG_TYPES[self.kind], unix_lines(self.text)]

    def says_the_same(self, other: "Typed") -> bool:
        return self.comparable == other.comparable

    def of_flag(self) -> dict[str, str]:
        """As ``/api/__future__/`` takes it."""
        return {"type": FLAG_TYPES[self.kind], "value": self.text}

    def columns(self) -> dict[str, Any]:
        """As feature states, options and change requests take it. The API reads a number or a boolean of its text."""
        kind, column = COLUMNS[self.kind]
        return {"type": kind, column: self.text}


def _looks_like_json(text: str) -> bool:
    if text[:1] not in ("{", "[") or len(text) > LONGEST_TRIED:
        return False
    return Typed("json", text).problem == ""


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
