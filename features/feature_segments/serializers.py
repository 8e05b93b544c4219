from typing import Any

from django.db.models import QuerySet
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from core.fields import ConstantText
from core.items import Items
from environments.models import Environment
from features.feature_segments import services
from features.feature_states.serializers import (
    FeatureStateValueSerializer,
    ProjectFeature,
    ShareSerializer,
    VisibleEnvironment,
    check_shares,
)
from features.fields import ObjectID
from features.models import Feature, FeatureSegment, FeatureState
from segments.models import Segment


class ProjectSegment(serializers.PrimaryKeyRelatedField[Segment]):
    """A segment of the project of the view's environment."""

    def get_queryset(self) -> QuerySet[Segment]:
        return Segment.objects.filter(project_id=self.context["view"].environment.project_id)


def segment_error(segment: Segment, feature: Feature) -> str:
    """An error message if the segment belongs to another feature; otherwise an empty text."""
    return "" if segment.feature_id in (None, feature.pk) else f"This segment is for feature {segment.feature_id} only."


def check_segment(segment: Segment, feature: Feature) -> None:
    """Raise ValidationError if the segment belongs to another feature."""
    if message := segment_error(segment, feature):
        raise ValidationError({"segment": [message]})


class FeatureSegmentFilterSerializer(serializers.Serializer[Any]):
    environment = ObjectID()
    feature = ObjectID()


class FeatureSegmentSerializer(serializers.ModelSerializer[FeatureSegment]):
    """A feature segment in a response."""

    segment_name = serializers.CharField(source="segment.name", read_only=True)
    is_feature_specific = serializers.SerializerMethodField()

    class Meta:
        model = FeatureSegment
        fields = ("id", "uuid", "segment", "priority", "environment", "segment_name", "is_feature_specific")
        read_only_fields = fields

    def get_is_feature_specific(self, feature_segment: FeatureSegment) -> bool:
        return feature_segment.segment.feature_id is not None


class FeatureSegmentWriteSerializer(serializers.ModelSerializer[FeatureSegment]):
    """A feature segment to create or update.

    A new one goes last: the body's priority is ignored, as in Flagsmith. An update can change only the segment.
    """

    feature = ProjectFeature(queryset=Feature.objects.all())
    segment = ProjectSegment(queryset=Segment.objects.all())
    environment = VisibleEnvironment(queryset=Environment.objects.all())

    class Meta:
        model = FeatureSegment
        fields = ("id", "uuid", "feature", "segment", "environment", "priority")
        read_only_fields = ("priority",)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        instance = self.instance
        for name in ("feature", "environment") if instance is not None else ():
            if name in attrs and attrs[name].pk != getattr(instance, f"{name}_id"):
                raise ValidationError({name: [f"Cannot change the {name} of a feature segment"]})
        if "segment" in attrs:
            check_segment(attrs["segment"], attrs["feature"] if instance is None else instance.feature)
        return attrs

    def create(self, validated_data: dict[str, Any]) -> FeatureSegment:
        return services.create_feature_segment(**validated_data)

    def update(self, instance: FeatureSegment, validated_data: dict[str, Any]) -> FeatureSegment:
        return services.change_segment(instance, validated_data.get("segment", instance.segment))


class PrioritySerializer(serializers.Serializer[Any]):
    id = ObjectID()
    priority = serializers.IntegerField(min_value=0, max_value=services.MAX_PRIORITY)

    class Meta:
        list_serializer_class = Items


class OverrideSegmentSerializer(serializers.ModelSerializer[FeatureSegment]):
    segment = ProjectSegment(queryset=Segment.objects.all())
    priority = serializers.IntegerField(min_value=0, max_value=services.MAX_PRIORITY, required=False)

    class Meta:
        model = FeatureSegment
        fields = ("id", "segment", "priority", "uuid")


class OverrideSerializer(serializers.ModelSerializer[FeatureState]):
    """A segment override created in one request: feature segment and feature state."""

    feature_state_value = FeatureStateValueSerializer()
    feature_segment = OverrideSegmentSerializer()
    deleted_at = ConstantText(None)
    change_request = serializers.IntegerField(source="change_request_id", read_only=True, allow_null=True)
    multivariate_feature_state_values = ShareSerializer(many=True, required=False)

    class Meta:
        model = FeatureState
        fields = (
            "id",
            "feature",
            "enabled",
            "feature_state_value",
            "feature_segment",
            "deleted_at",
            "uuid",
            "created_at",
            "updated_at",
            "live_from",
            "environment",
            "identity",
            "change_request",
            "multivariate_feature_state_values",
        )
        read_only_fields = ("feature", "live_from", "environment", "identity")
        validators: list[Any] = []

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        feature = self.context["view"].feature
        check_shares(attrs.get("multivariate_feature_state_values", []), feature)
        try:
            check_segment(attrs["feature_segment"]["segment"], feature)
        except ValidationError as error:
            raise ValidationError({"feature_segment": error.detail}) from error
        return attrs

    def create(self, validated_data: dict[str, Any]) -> FeatureState:
        view, feature_segment = self.context["view"], validated_data["feature_segment"]
        return services.create_override(
            view.environment,
            view.feature,
            feature_segment["segment"],
            priority=feature_segment.get("priority"),
            value=validated_data["feature_state_value"],
            shares=validated_data.get("multivariate_feature_state_values"),
            enabled=validated_data.get("enabled", False),
        )
