"""Fields of Flagsmith's answers that say the same of everything here.

Not fields with a default: Django REST framework leaves those out of the answer to a PATCH.
"""

from typing import Any

from rest_framework import serializers


class Constant(serializers.Field):
    """A field that is read only and has one value, or null."""

    def __init__(self, value: Any, **kwargs: Any) -> None:
        self.value = value
        super().__init__(read_only=True, allow_null=value is None, **kwargs)

    def get_attribute(self, instance: Any) -> Any:
        return self.value


class ConstantBoolean(Constant, serializers.BooleanField):
    pass


class ConstantNumber(Constant, serializers.IntegerField):
    pass


class ConstantText(Constant, serializers.CharField):
    pass


class ConstantList(Constant, serializers.ListField):
    child = serializers.JSONField()


class NoItems(ConstantList):
    """A list of what Flagsmith has and this product has not."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__([], **kwargs)
