"""Serializers of change requests of projects, which change segments."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from core.fields import ConstantText, EmptyList
from core.items import CompleteItem, Items
from features.fields import ObjectID
from features.workflows.core import items, segment_changes
from features.workflows.core.conflicts import find_segment_conflicts
from features.workflows.core.models import ChangeRequest, SegmentChange
from features.workflows.core.segment_changes import RequestedSegment
from features.workflows.core.serializers import (
    ConflictSerializer,
    ListedRequestSerializer,
    RequestSerializer,
    RetrievedChangeRequestSerializer,
    service_arguments,
)
from segments.models import Segment
from segments.serializers import ConditionSerializer, NestedRuleSerializer, RuleSerializer, SegmentSerializer

# Fields that only the change requests of environments have.
ENVIRONMENT_FIELDS = frozenset({"feature_states", "environment_feature_versions", "ignore_conflicts"})


class RequestedSegments(Items):
    """The requested segments, in the format of segments."""

    def get_attribute(self, instance: Any) -> Any:
        return [_segment_json(change, instance) for change in instance.segment_changes.all()]

    def to_representation(self, data: Any) -> Any:
        return data


def _segment_json(change: SegmentChange, request: ChangeRequest) -> dict[str, Any]:
    date_time = serializers.DateTimeField()
    return {
        "id": change.pk,
        "uuid": str(change.uuid),
        "created_at": date_time.to_representation(change.created_at),
        "updated_at": date_time.to_representation(change.updated_at),
        "name": change.name,
        "description": change.description,
        "project": request.project_id,
        "feature": change.feature_id,
        "version_of": change.segment_id,
        "rules": change.rules,
        "metadata": [],
        "membership_counts": [],
        "managed_by": "",
        "change_request": request.pk,
    }


class RequestedConditionSerializer(ConditionSerializer):
    class Meta(ConditionSerializer.Meta):
        fields = ["operator", "property", "value", "description"]


class RequestedNestedRuleSerializer(NestedRuleSerializer):
    conditions = RequestedConditionSerializer(many=True, required=False)

    class Meta(NestedRuleSerializer.Meta):
        fields = ["type", "conditions"]


class RequestedRuleSerializer(RuleSerializer):
    """A requested rule. Rules and conditions have no ids yet."""

    rules = RequestedNestedRuleSerializer(many=True, required=False)
    conditions = RequestedConditionSerializer(many=True, required=False)

    class Meta(RuleSerializer.Meta):
        fields = ["type", "rules", "conditions"]


class RequestedSegmentSerializer(CompleteItem, SegmentSerializer):
    """A requested segment. ``version_of`` is the segment to change."""

    rules = RequestedRuleSerializer(many=True, allow_empty=False)
    version_of = ObjectID()
    change_request = serializers.IntegerField(read_only=True)

    class Meta(SegmentSerializer.Meta):
        fields = [*SegmentSerializer.Meta.fields, "change_request"]
        list_serializer_class = RequestedSegments


class ProjectChangeRequestSerializer(RequestSerializer):
    """A change request to create or edit, and the response."""

    segments = RequestedSegmentSerializer(many=True)

    class Meta:
        model = ChangeRequest
        fields: tuple[str, ...] = (
            "id",
            "approvals",
            "committed_at",
            "committed_by",
            "created_at",
            "deleted_at",
            "description",
            "group_assignments",
            "project_id",
            "segments",
            "title",
            "updated_at",
            "user",
        )
        read_only_fields: tuple[str, ...] = ("committed_at", "committed_by", "project_id", "user")

    def validate_segments(self, segments: list[dict[str, Any]]) -> Any:
        existing = self.context["view"].project.segments.in_bulk([item["version_of"] for item in segments])
        errors: list[dict[str, Any]] = []
        seen: set[int] = set()
        for item in segments:
            pk = item["version_of"]
            if pk not in existing:
                errors.append({"version_of": items.does_not_exist(pk)})
            elif pk in seen:
                errors.append({"version_of": ["This request changes the same segment already."]})
            else:
                errors.append({})
            seen.add(pk)
        if any(errors):
            raise ValidationError(errors)
        return [_requested_segment(item, existing[item["version_of"]]) for item in segments]

    def create(self, validated_data: dict[str, Any]) -> ChangeRequest:
        view = self.context["view"]
        request = segment_changes.create_change_request(
            view.project, view.actor, **service_arguments(validated_data, "segments")
        )
        return view.get_queryset().get(pk=request.pk)

    def update(self, instance: ChangeRequest, validated_data: dict[str, Any]) -> ChangeRequest:
        segment_changes.update_change_request(
            instance, self.context["view"].actor, **service_arguments(validated_data, "segments")
        )
        return self.context["view"].get_queryset().get(pk=instance.pk)


def _requested_segment(item: dict[str, Any], segment: Segment) -> RequestedSegment:
    feature = item.get("feature")
    return RequestedSegment(
        segment, item["name"], item.get("description"), feature.pk if feature is not None else None, item["rules"]
    )


class RetrievedProjectChangeRequestSerializer(ProjectChangeRequestSerializer):
    change_sets = EmptyList()
    conflicts = serializers.SerializerMethodField()

    class Meta(ProjectChangeRequestSerializer.Meta):
        fields = tuple(name for name in RetrievedChangeRequestSerializer.Meta.fields if name not in ENVIRONMENT_FIELDS)
        read_only_fields = fields

    @extend_schema_field(ConflictSerializer(many=True))
    def get_conflicts(self, request: ChangeRequest) -> Any:
        return ConflictSerializer(find_segment_conflicts(request), many=True).data


class ListedProjectChangeRequestSerializer(ListedRequestSerializer):
    live_from = ConstantText(None)
