"""Serializers of an identity's evaluated flags."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from environment_documents.identity_flags.flags import ExplainedFlag
from realtime.evaluation import Flag


@extend_schema_field({"oneOf": [{"type": "string"}, {"type": "integer"}, {"type": "boolean"}], "nullable": True})
class Scalar(serializers.ReadOnlyField):
    """A value in its own JSON type."""


class FlagFeatureSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()
    type = serializers.CharField()


class FlagSegmentSerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    name = serializers.CharField()


class FlagOptionSerializer(serializers.Serializer[Any]):
    value = Scalar()


class FlagMultivariateValueSerializer(serializers.Serializer[Any]):
    multivariate_feature_option = FlagOptionSerializer()
    percentage_allocation = serializers.FloatField()


class IdentityFlagSerializer(serializers.Serializer[Flag]):
    """A flag of an identity, and the override that determined it, if any."""

    feature = FlagFeatureSerializer(source="state.feature")
    enabled = serializers.BooleanField(source="state.enabled")
    feature_state_value = Scalar(source="value")
    overridden_by = serializers.ChoiceField(["SEGMENT", "IDENTITY"], source="state.overridden_by", allow_null=True)
    segment = serializers.SerializerMethodField()
    multivariate_feature_state_values = FlagMultivariateValueSerializer(
        source="state.document.multivariate_feature_state_values", many=True
    )

    @extend_schema_field(FlagSegmentSerializer(allow_null=True))
    def get_segment(self, flag: Flag) -> Any:
        return None if flag.state.segment is None else FlagSegmentSerializer(flag.state.segment).data


class SegmentOverrideSerializer(serializers.Serializer[Any]):
    segment = FlagSegmentSerializer()
    priority = serializers.IntegerField(help_text="A lower number takes precedence.")
    enabled = serializers.BooleanField(source="state.enabled")
    matches = serializers.BooleanField(help_text="The identity is in the segment.")
    is_applied = serializers.BooleanField(help_text="The flag has this override's state.")


class ExplainedFlagSerializer(serializers.Serializer[ExplainedFlag]):
    """A flag of an identity in the format of ``featurestates/all/``, and what its value was chosen from."""

    default_enabled = serializers.BooleanField(source="default.state.enabled")
    default_feature_state_value = Scalar(source="default.value")
    reason = serializers.CharField(source="flag.reason", help_text="The flag engine's reason.")
    split_weight = serializers.FloatField(
        allow_null=True, help_text="The percentage of the identity's variant. Null: it does not depend on the identity."
    )
    segment_overrides = SegmentOverrideSerializer(many=True, help_text="All of the feature, by precedence.")
    is_hidden = serializers.BooleanField(
        help_text="SDKs do not get the flag: it is off, and disabled flags are hidden."
    )

    def to_representation(self, instance: ExplainedFlag) -> dict[str, Any]:
        return {**IdentityFlagSerializer(instance.flag).data, **super().to_representation(instance)}


class SourceIdentitySerializer(serializers.Serializer[Any]):
    source_identity_id = serializers.IntegerField(help_text="The identity to copy from, of the same environment.")
