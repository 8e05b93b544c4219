"""Serializers of objects in a list inside a request body, such as the options of a feature."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError


class Items(serializers.ListSerializer[Any]):
    """A list serializer whose errors are a list in the items' order, ``{}`` for a valid item, as in Flagsmith."""

    def to_internal_value(self, data: Any) -> Any:
        try:
            return super().to_internal_value(data)
        except ValidationError as error:
            errors: Any = error.detail
            if isinstance(errors, dict) and all(isinstance(index, int) for index in errors):
                raise ValidationError([errors.get(index, {}) for index in range(len(data))]) from None
            raise


class CompleteItem(serializers.Serializer[Any]):
    """An item whose required fields are required even if the enclosing object is updated partially (PATCH)."""

    def to_internal_value(self, data: Any) -> Any:
        if self.root.partial and isinstance(data, Mapping):
            missing = [name for name, field in self.fields.items() if field.required and name not in data]
            if missing:
                raise ValidationError({name: [self.fields[name].error_messages["required"]] for name in missing})
        return super().to_internal_value(data)
