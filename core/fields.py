"""Serializer fields of Flagsmith's API that have one constant value in this product.

Not fields with a default: Django REST framework leaves those out of the response to a PATCH.
"""

from typing import Any

from rest_framework import serializers


class Constant(serializers.Field):
    """A read-only field that always has the same value, which may be None."""

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


class EmptyList(ConstantList):
    """The list of a Flagsmith feature that this product does not have."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__([], **kwargs)
