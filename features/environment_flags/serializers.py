"""The environment default and all segment overrides of a flag, in one format for requests and responses.

Validated data has the names of the model columns, which the services of feature states expect.
"""

import re
from collections import Counter
from typing import Any

from django.conf import settings
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from core.items import Items
from features.feature_segments.serializers import segment_error
from features.feature_segments.services import MAX_PRIORITY
from features.feature_states.serializers import SHARES_OVER_100
from features.fields import ObjectID
from features.models import Feature, FeatureState, FeatureStateValue, FeatureType
from features.multivariate.percentages import exceed_100
from features.values import MAX_32_BIT_INTEGER, ValueType
from segments.models import Segment

WHOLE_NUMBER = re.compile(r"[+-]?[0-9]{1,10}")

TYPES: dict[str | None, str] = {ValueType.STRING: "string", ValueType.INTEGER: "integer", ValueType.BOOLEAN: "boolean"}

SHARES = "multivariate_feature_state_values"


class FlagValueSerializer(serializers.Serializer[FeatureStateValue]):
    """A value as text with its type. A write clears the columns of other types."""

    type = serializers.ChoiceField(choices=tuple(TYPES.values()))
    value = serializers.CharField(allow_blank=True, max_length=settings.FEATURE_VALUE_LIMIT)

    def validate(self, attrs: dict[str, str]) -> dict[str, Any]:
        text = attrs["value"]
        columns: dict[str, Any] = {"string_value": None, "integer_value": None, "boolean_value": None}
        match attrs["type"]:
            case "integer":
                columns |= {"type": ValueType.INTEGER, "integer_value": _integer(text)}
            case "boolean":
                columns |= {"type": ValueType.BOOLEAN, "boolean_value": _boolean(text)}
            case _:
                columns |= {"type": ValueType.STRING, "string_value": text}
        return columns

    def to_representation(self, instance: FeatureStateValue) -> dict[str, str] | None:
        value = instance.value
        if value is None:
            return None
        text = str(value).lower() if isinstance(value, bool) else str(value)
        return {"type": TYPES.get(instance.type, "string"), "value": text}


def _integer(text: str) -> int:
    number = int(text) if WHOLE_NUMBER.fullmatch(text) else None
    if number is None or not -MAX_32_BIT_INTEGER - 1 <= number <= MAX_32_BIT_INTEGER:
        raise ValidationError({"value": [f"'{text[:20]}' is not a valid integer"]})
    return number


def _boolean(text: str) -> bool:
    if text.lower() not in ("true", "false"):
        raise ValidationError({"value": [f"'{text[:20]}' is not a valid boolean (use 'true' or 'false')"]})
    return text.lower() == "true"


class VariantSerializer(serializers.Serializer[Any]):
    """The percentage of identities that receive an option of the feature."""

    id = ObjectID(source="multivariate_feature_option_id")
    weight = serializers.FloatField(source="percentage_allocation", min_value=0, max_value=100)

    class Meta:
        list_serializer_class = Items


class SegmentReferenceSerializer(serializers.Serializer[Any]):
    id = ObjectID(source="segment_id")


class FlagStateSerializer(serializers.Serializer[FeatureState]):
    """Base of environment defaults and segment overrides."""

    enabled = serializers.BooleanField(required=False)
    value = FlagValueSerializer(source="feature_state_value", required=False, allow_null=True)
    variants = VariantSerializer(many=True, source=SHARES, required=False)

    def validate_value(self, columns: dict[str, Any] | None) -> dict[str, Any]:
        """Null occurs in responses only."""
        if columns is None:
            raise ValidationError(self.fields["value"].error_messages["null"])
        return columns

    def validate_variants(self, shares: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """All options of the feature are required, since a missing one would have no defined percentage."""
        feature: Feature = self.context["feature"]
        if feature.type != FeatureType.MULTIVARIATE and shares:
            raise ValidationError("Feature is not multivariate.")
        given = [share["multivariate_feature_option_id"] for share in shares]
        options = {option.pk for option in feature.multivariate_options.all()}
        if set(given) - options:
            raise ValidationError("Variant not found.")
        if options - set(given):
            raise ValidationError("Must include all feature's variants.")
        if len(given) > len(options):
            raise ValidationError("This variant is given more than once.")
        if exceed_100(share["percentage_allocation"] for share in shares):
            raise ValidationError(SHARES_OVER_100)
        return shares


class FlagDefaultSerializer(FlagStateSerializer):
    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        feature: Feature = self.context["feature"]
        if self.context["replace"] and feature.type == FeatureType.MULTIVARIATE and SHARES not in attrs:
            raise ValidationError({"variants": ["Must include all feature's variants."]})
        return attrs


class FlagOverrideSerializer(FlagStateSerializer):
    """A segment override. The override with the lowest priority takes precedence."""

    # Validated before the priority, which is stored in the same dict.
    segment = SegmentReferenceSerializer(source="feature_segment")
    priority = serializers.IntegerField(
        source="feature_segment.priority", min_value=0, max_value=MAX_PRIORITY, required=False
    )

    class Meta:
        list_serializer_class = Items

    def get_fields(self) -> dict[str, serializers.Field]:
        """Segment and priority come first, as in Flagsmith."""
        fields = super().get_fields()
        return {name: fields.pop(name) for name in ("segment", "priority")} | fields


class FlagSerializer(serializers.Serializer[Any]):
    """A flag. The context has the ``feature``, and ``replace``: whether parts of the body are replaced (PUT)."""

    environment_default = FlagDefaultSerializer(source="default", required=False)
    segment_overrides = FlagOverrideSerializer(many=True, source="overrides", required=False)

    def validate_segment_overrides(self, overrides: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The segments must belong to the project and be listed once. They are read with one query."""
        feature: Feature = self.context["feature"]
        segment_ids = [override["feature_segment"]["segment_id"] for override in overrides]
        segments = Segment.objects.filter(project=feature.project_id).in_bulk(segment_ids) if segment_ids else {}
        errors = [_override_error(segments.get(pk), feature) for pk in segment_ids]
        if any(errors):
            raise ValidationError(errors)
        for pk, occurrences in Counter(segment_ids).items():
            if occurrences > 1:
                raise ValidationError(f"Duplicate segment: {pk}.")
        return overrides


class ChangeRequestsEnabledSerializer(serializers.Serializer[Any]):
    """The response with status 409: the environment uses change requests."""

    detail = serializers.CharField()
    code = serializers.CharField()


def _override_error(segment: Segment | None, feature: Feature) -> dict[str, Any]:
    if segment is None:
        return {"segment": {"id": ["Segment not found."]}}
    if message := segment_error(segment, feature):
        return {"segment": {"id": [message]}}
    return {}
