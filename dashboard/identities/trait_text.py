"""The text form of traits in forms: an object in JSON, or lines of ``name=value``."""

import json
from typing import Any

NOT_TRAITS = "Line {line} is neither an object in JSON nor name=value."


def parse_traits(text: str) -> dict[str, Any]:
    """The traits by name. Raises ValueError with a message for the user."""
    text = text.strip()
    if text.startswith("{"):
        try:
            return dict(json.loads(text))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"This is no JSON: {error}.") from None
    traits = {}
    for number, line in enumerate(text.splitlines(), start=1):
        name, equals, value = (part.strip() for part in line.partition("="))
        if name and equals:
            traits[name] = _value(value)
        elif line.strip():
            raise ValueError(NOT_TRAITS.format(line=number))
    return traits


def _value(text: str) -> Any:
    """A scalar of JSON, otherwise text: ``age=23`` is a number, ``beta=true`` a boolean."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return text if isinstance(value, dict | list) else value
