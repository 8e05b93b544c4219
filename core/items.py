"""Objects in a list inside of a body: shares of options, options of features, places of overrides."""

from collections.abc import Mapping
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ValidationError


class Items(serializers.ListSerializer[Any]):
    """Its errors are a list in the items' order, ``{}`` where there is none, as clients of Flagsmith read them."""

    def to_internal_value(self, data: Any) -> Any:
        try:
            return super().to_internal_value(data)
        except ValidationError as error:
            errors: Any = error.detail
            if isinstance(errors, dict) and all(isinstance(index, int) for index in errors):
                raise ValidationError([errors.get(index, {}) for index in range(len(data))]) from None
            raise


class WholeItem(serializers.Serializer[Any]):
    """An item that is given whole, also where what is around it is not (a PATCH)."""

    def to_internal_value(self, data: Any) -> Any:
        if self.root.partial and isinstance(data, Mapping):
            missing = [name for name, field in self.fields.items() if field.required and name not in data]
            if missing:
                raise ValidationError({name: [self.fields[name].error_messages["required"]] for name in missing})
        return super().to_internal_value(data)
