"""Forms with an identifier and traits. Traits are typed as an object in JSON, or as lines of ``name=value``."""

import json
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from dashboard.api import APIResponse
from sdk.serializers import EvaluateSerializer

NOT_TRAITS = "Line {line} is neither an object in JSON nor name=value."


@dataclass
class TraitsForm:
    """The submitted identifier and traits."""

    identifier: str = ""
    traits: str = ""
    errors: dict[str, list[str]] = field(default_factory=dict)

    def items(self) -> list[Any]:
        """The traits, validated as for the API's ``evaluate/``. Its errors are added to ``errors``."""
        try:
            traits = parse_traits(self.traits)
        except ValueError as error:
            self.errors["traits"] = [str(error)]
            return []
        if not self.identifier and not traits:
            self.errors["identifier"] = ["Type an identifier, traits, or both."]
            return []
        items = [{"trait_key": name, "trait_value": value} for name, value in traits.items()]
        serializer = EvaluateSerializer(data={"identifier": self.identifier, "traits": items})
        if not serializer.is_valid():
            for name, texts in APIResponse(HTTPStatus.BAD_REQUEST, serializer.errors).errors.items():
                self.errors.setdefault("identifier" if name == "identifier" else "traits", []).extend(texts)
            return []
        return list(serializer.validated_data["traits"])


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
