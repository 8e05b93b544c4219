"""A flag's value in a form: type and text. The text "1" and the number 1 are different values."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dashboard.edits import Field, describe_field, quoted, shortened, unix_lines
from features.values import Value, ValueType

KINDS = (("text", "Text"), ("number", "Number"), ("boolean", "Boolean"), ("json", "JSON"))
"""The types that a form offers. JSON is stored as text."""

# The types in the API's two formats: /api/__future__/, and the columns of a feature state value.
FLAG_TYPES = {"text": "string", "json": "string", "number": "integer", "boolean": "boolean"}
COLUMNS = {
    "text": (ValueType.STRING, "string_value"),
    "json": (ValueType.STRING, "string_value"),
    "number": (ValueType.INTEGER, "integer_value"),
    "boolean": (ValueType.BOOLEAN, "boolean_value"),
}

# Longer text is not parsed to find out whether it is JSON, which would slow down lists.
MAX_JSON_DETECTION_LENGTH = 5_000


def comparable_value(value: Value) -> tuple[type, Value]:
    """A key of a stored value that is equal for equal values, as ``FormValue.comparable``, without parsing JSON."""
    normalised = unix_lines(value or "") if value is None or isinstance(value, str) else value
    # The type, since 1 equals True.
    return type(normalised), normalised


@dataclass(frozen=True)
class FormValue:
    """A value as a form's type and text."""

    kind: str
    text: str
    is_null: bool = False
    """Whether there is no stored value and none was typed."""

    @classmethod
    def from_stored(cls, value: Value) -> "FormValue":
        match value:
            case None:
                return cls("text", "", is_null=True)
            case bool():
                return cls("boolean", str(value).lower())
            case int():
                return cls("number", str(value))
        return cls("json" if _looks_like_json(value) else "text", value)

    @classmethod
    def from_form(cls, form: Mapping[str, str]) -> "FormValue":
        """The submitted value. A boolean has its own controls, named ``truth``."""
        kind = form.get("kind", "")
        kind = kind if kind in FLAG_TYPES else "text"
        return cls(kind, form.get("truth", "") if kind == "boolean" else unix_lines(form.get("value", "")))

    @property
    def label(self) -> str:
        return dict(KINDS)[self.kind].lower() if self.kind != "json" else "JSON"

    @property
    def json_error(self) -> str:
        """The message for invalid JSON; "" for other types. The API does not check it: it stores JSON as text."""
        if self.kind != "json":
            return ""
        try:
            json.loads(self.text, parse_constant=_refuse)
        except (ValueError, RecursionError) as error:
            return f"This is not JSON: {error}."
        return ""

    @property
    def quoted_text(self) -> str:
        """The value for use in a sentence: text in quotes, and shortened."""
        return shortened(_shown(self.comparable))

    @property
    def field(self) -> Field:
        """The value as a field of a form, for a comparison."""
        return describe_field("The value", self.comparable, _shown)

    @property
    def comparable(self) -> list[str]:
        """A key that is equal for equal values."""
        return [FLAG_TYPES[self.kind], unix_lines(self.text)]

    def equals(self, other: "FormValue") -> bool:
        return self.comparable == other.comparable

    def as_flag_value(self) -> dict[str, str]:
        """The format of ``/api/__future__/``."""
        return {"type": FLAG_TYPES[self.kind], "value": self.text}

    def as_columns(self) -> dict[str, Any]:
        """The format of feature states, options and change requests. The API parses numbers and booleans from text."""
        kind, column = COLUMNS[self.kind]
        return {"type": kind, column: None if self.is_null else self.text}


def _looks_like_json(text: str) -> bool:
    if text[:1] not in ("{", "[") or len(text) > MAX_JSON_DETECTION_LENGTH:
        return False
    return FormValue("json", text).json_error == ""


def _shown(comparable: list[str]) -> str:
    kind, text = comparable
    return quoted(text) if kind == "string" else text


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")
