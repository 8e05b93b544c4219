"""Serializers of segments, rules and conditions."""

from collections.abc import Mapping
from typing import Any, cast

from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from core.fields import EmptyList
from core.items import CompleteItem, Items
from core.representation import QuickSerializer
from realtime.evaluation import evaluability, patterns
from segments import services, tree_limits
from segments.models import Condition, Segment, SegmentRule


class ConditionSerializer(CompleteItem, QuickSerializer, serializers.ModelSerializer[Condition]):
    class Meta:
        model = Condition
        fields = ["id", "operator", "property", "value", "description"]
        extra_kwargs = {"property": {"allow_blank": False}}
        list_serializer_class = Items

    def to_internal_value(self, data: Any) -> Any:
        """The value is converted to text: 1 to "1", true to "True", null to "None"."""
        if isinstance(data, Mapping) and "value" in data:
            data = {**data, "value": str(data["value"])}
        return super().to_internal_value(data)

    def validate(self, attrs: Any) -> Any:
        # One budget for all conditions of the request.
        budget = cast(dict[str, Any], self.context).setdefault(
            "patterns", patterns.TimeBudget(patterns.DEFAULT_SECONDS)
        )
        try:
            with patterns.time_limit(budget):
                errors = evaluability.condition_errors(
                    attrs["operator"], attrs.get("property") or "", attrs.get("value") or ""
                )
        except patterns.TimeLimitExceeded:
            errors = {"value": ["This cannot be evaluated: it takes too long, even for short texts."]}
        if errors:
            raise ValidationError(errors)
        return attrs


class NestedRuleSerializer(CompleteItem, QuickSerializer, serializers.ModelSerializer[SegmentRule]):
    conditions = ConditionSerializer(many=True, required=False)

    class Meta:
        model = SegmentRule
        fields = ["id", "type", "conditions"]
        list_serializer_class = Items


class RuleSerializer(CompleteItem, QuickSerializer, serializers.ModelSerializer[SegmentRule]):
    rules = NestedRuleSerializer(many=True, required=False)
    conditions = ConditionSerializer(many=True, required=False)

    class Meta:
        model = SegmentRule
        fields = ["id", "type", "rules", "conditions"]
        list_serializer_class = Items


class ProjectFeatureField(serializers.PrimaryKeyRelatedField):
    """A feature of the view's project."""

    def get_queryset(self) -> Any:
        return self.context["view"].project.features.all()


class SegmentSerializer(QuickSerializer, serializers.ModelSerializer[Segment]):
    """A segment with its tree.

    Versions, metadata, membership counts and ``managed_by`` are not supported: their fields have constant values.
    """

    feature = ProjectFeatureField(allow_null=True, required=False)
    version_of = serializers.IntegerField(source="pk", read_only=True)
    rules = RuleSerializer(many=True, allow_empty=False)
    metadata = EmptyList()
    membership_counts = EmptyList()
    managed_by = serializers.SerializerMethodField()

    class Meta:
        model = Segment
        fields = [
            "id",
            "uuid",
            "created_at",
            "updated_at",
            "name",
            "description",
            "project",
            "feature",
            "version_of",
            "rules",
            "metadata",
            "membership_counts",
            "managed_by",
        ]
        read_only_fields = ["project"]

    def get_managed_by(self, segment: Segment) -> str:
        return ""

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping) and "rules" in data:
            data = {**data, "rules": tree_limits.check_tree(data["rules"])}
        return super().to_internal_value(data)

    def create(self, validated_data: Any) -> Segment:
        return services.create_segment(**validated_data)

    def update(self, instance: Segment, validated_data: Any) -> Segment:
        return services.update_segment(instance, **validated_data)


class CloneSegmentSerializer(serializers.ModelSerializer[Segment]):
    class Meta:
        model = Segment
        fields = ["name"]


class SegmentFilterSerializer(serializers.Serializer[Any]):
    """Query parameters of the list of segments."""

    q = serializers.CharField(required=False, allow_blank=True, help_text="Part of the name, in any case.")
    identity = serializers.IntegerField(required=False, help_text="Only segments that this identity belongs to.")
    include_feature_specific = serializers.BooleanField(default=True)
