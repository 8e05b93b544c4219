"""Serializers of traits for the Admin API, which has a field for each type of value."""

import math
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from core import conflicts
from environments.identities.traits.models import Trait

COLUMNS: dict[str, str] = {
    Trait.ValueType.INTEGER: "integer_value",
    Trait.ValueType.STRING: "string_value",
    Trait.ValueType.BOOLEAN: "boolean_value",
    Trait.ValueType.FLOAT: "float_value",
}

MAX_64_BIT_INTEGER = 2**63 - 1


def validate_finite(number: float) -> None:
    if not math.isfinite(number):
        raise ValidationError("A valid number is required.")


class TraitSerializer(serializers.ModelSerializer[Trait]):
    """A trait. ``value_type`` names the type of the value. Fields of other types are ignored and stored as null."""

    class Meta:
        model = Trait
        fields = [
            "id",
            "trait_key",
            "value_type",
            "integer_value",
            "string_value",
            "boolean_value",
            "float_value",
            "created_date",
        ]
        extra_kwargs = {
            "integer_value": {"min_value": -MAX_64_BIT_INTEGER - 1, "max_value": MAX_64_BIT_INTEGER},
            "float_value": {"validators": [validate_finite]},
        }
        # Not the serializer's check but the constraint finds a duplicate: an SDK may create one concurrently.
        validators: list[Any] = []

    def validate(self, attrs: Any) -> Any:
        """Replace the fields of the types by ``trait_value``. Raises ValidationError if there would be no value."""
        typed = {name: attrs.pop(name) for name in ("value_type", *COLUMNS.values()) if name in attrs}
        if not typed and self.instance is not None:
            return attrs
        stored = Trait() if self.instance is None else self.instance
        column = COLUMNS[typed.get("value_type", stored.value_type)]
        value = typed.get(column, getattr(stored, column))
        if value is None:
            raise ValidationError({column: ["This field is required."]})
        return {**attrs, "trait_value": value}

    def save(self, **kwargs: Any) -> Trait:
        with conflicts.as_validation_error("The identity has a trait with this key already.", field="trait_key"):
            return super().save(**kwargs)
