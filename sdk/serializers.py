"""Serializers that validate the requests of SDKs."""

import math
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from core.items import Items
from environments.identities.traits.models import TraitValue

# In UTF-8. A row of PostgreSQL's index on identifiers has at most 2,704 bytes.
MAX_IDENTIFIER_BYTES = 2_600
MAX_IDENTIFIER_LENGTH = 2_000
MAX_TRAIT_KEY_LENGTH = 200
MAX_TRAIT_STRING_LENGTH = 2_000
INTEGERS = range(-(2**63), 2**63)


class IdentifierField(serializers.CharField):
    """An identity's identifier. It is not trimmed, because SDKs that evaluate locally do not trim it."""

    default_error_messages = {"too_large": "Ensure this field has no more than {limit} bytes."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=MAX_IDENTIFIER_LENGTH, trim_whitespace=False, **kwargs)

    def to_internal_value(self, data: Any) -> str:
        value = super().to_internal_value(data)
        if len(value.encode()) > MAX_IDENTIFIER_BYTES:
            self.fail("too_large", limit=MAX_IDENTIFIER_BYTES)
        return value


@extend_schema_field(
    {
        "oneOf": [{"type": kind} for kind in ("string", "integer", "number", "boolean")],
        "description": "A trait's value.",
    }
)
class TraitValueField(serializers.Field[TraitValue, Any, Any, Any]):
    """A string, integer, float or boolean. Other values are converted to strings, as in Flagsmith."""

    default_error_messages = {
        "too_long": "Value string is too long. Must be less than {limit} character",
        "null_character": "Null characters are not allowed.",
        "too_large": "A number must be finite, a whole one between -2^63 and 2^63 - 1.",
    }

    def to_internal_value(self, data: Any) -> TraitValue:
        match data:
            case bool():
                return data
            case int() if data in INTEGERS:
                return data
            case float() if math.isfinite(data):
                return data
            case int() | float():
                self.fail("too_large")
        text = str(data)
        if len(text) > MAX_TRAIT_STRING_LENGTH:
            self.fail("too_long", limit=MAX_TRAIT_STRING_LENGTH)
        if "\0" in text:
            self.fail("null_character")
        return text

    def to_representation(self, value: Any) -> Any:
        return value


class SDKTraitSerializer(serializers.Serializer[Any]):
    """A trait of ``identities/``. A null value deletes it."""

    trait_key = serializers.CharField(max_length=MAX_TRAIT_KEY_LENGTH, trim_whitespace=False)
    trait_value = TraitValueField(allow_null=True)
    transient = serializers.BooleanField(default=False, allow_null=True)


class Traits(Items):
    """The traits of one identity, ``MAX_TRAITS_PER_IDENTITY`` at most."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=settings.MAX_TRAITS_PER_IDENTITY, **kwargs)


class IdentitiesSerializer(serializers.Serializer[Any]):
    """The body of ``identities/``."""

    identifier = IdentifierField(required=False, allow_blank=True, allow_null=True)
    transient = serializers.BooleanField(default=False, allow_null=True)
    traits = Traits(child=SDKTraitSerializer(), required=False, allow_null=True)


class EvaluateSerializer(serializers.Serializer[Any]):
    """The body of the Admin API's ``evaluate/``: an identity, traits, or both."""

    identifier = IdentifierField(default="", allow_blank=True)
    traits = Traits(child=SDKTraitSerializer(), default=list)


class ConditionVerdictSerializer(serializers.Serializer[Any]):
    operator = serializers.CharField()
    property = serializers.CharField(allow_null=True)
    value = serializers.CharField(allow_null=True)
    matches = serializers.BooleanField(source="holds")


class RuleVerdictSerializer(serializers.Serializer[Any]):
    """A rule with its conditions, and with nested rules in the same format."""

    type = serializers.CharField()
    matches = serializers.BooleanField(source="holds")
    conditions = ConditionVerdictSerializer(many=True)
    rules = serializers.SerializerMethodField()

    @extend_schema_field(serializers.ListField(child=serializers.DictField()))
    def get_rules(self, rule: Any) -> Any:
        return RuleVerdictSerializer(rule.rules, many=True).data


class VerdictSerializer(serializers.Serializer[Any]):
    """Whether an identity belongs to a segment."""

    matches = serializers.BooleanField(source="belongs")
    rules = RuleVerdictSerializer(many=True)


class IdentitiesQuerySerializer(serializers.Serializer[Any]):
    """The query of ``identities/``."""

    identifier = IdentifierField()
    transient = serializers.BooleanField(default=False)


class SDKIdentitySerializer(serializers.Serializer[Any]):
    identifier = IdentifierField()


class IdentityTraitSerializer(serializers.Serializer[Any]):
    """The body of ``traits/``."""

    identity = SDKIdentitySerializer()
    trait_value = TraitValueField()
    trait_key = serializers.CharField(max_length=MAX_TRAIT_KEY_LENGTH, trim_whitespace=False)


class BulkTraitSerializer(IdentityTraitSerializer):
    """An item of ``traits/bulk/``. A null value deletes the trait."""

    trait_value = TraitValueField(allow_null=True)
