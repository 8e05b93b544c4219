"""Change requests as the Admin API speaks of them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from core.fields import ConstantText
from features.fields import NoItems, ObjectID
from features.workflows.core import items, services
from features.workflows.core.conflicts import conflicts_of
from features.workflows.core.models import ChangeRequest
from features.workflows.core.reading import whole

NO_VERSIONS = "There is no feature versioning v2 here: send feature_states instead."


@extend_schema_field({"type": "array", "items": {"type": "object"}})
class Nothing(serializers.ListField):
    """What belongs to feature versioning v2. It may be sent back as it was read: empty."""

    child = serializers.JSONField()

    def get_attribute(self, instance: Any) -> Any:
        return []

    def to_internal_value(self, data: Any) -> Any:
        if super().to_internal_value(data):
            raise ValidationError(NO_VERSIONS)
        return []


class ChangeRequestSerializer(serializers.ModelSerializer[ChangeRequest]):
    """A change request as it is made, edited, and answered then."""

    feature_states = items.RequestedStateSerializer(many=True)
    deleted_at = ConstantText(None)
    approvals = items.ApprovalSerializer(many=True, required=False)
    group_assignments = items.GroupAssignmentSerializer(many=True, required=False)
    environment_feature_versions = Nothing(required=False)
    change_sets = Nothing(required=False, allow_null=True)

    class Meta:
        model = ChangeRequest
        fields: tuple[str, ...] = (
            "id",
            "created_at",
            "updated_at",
            "title",
            "description",
            "feature_states",
            "deleted_at",
            "environment",
            "committed_at",
            "approvals",
            "user",
            "committed_by",
            "group_assignments",
            "environment_feature_versions",
            "change_sets",
            "ignore_conflicts",
        )
        read_only_fields: tuple[str, ...] = ("environment", "committed_at", "user", "committed_by")

    def validate_feature_states(self, states: list[dict[str, Any]]) -> Any:
        return items.wishes(states, self.context["view"].environment)

    def validate_approvals(self, approvals: list[dict[str, Any]]) -> Any:
        return items.reviewers(approvals, self.context["view"].project)

    def validate_group_assignments(self, groups: list[dict[str, Any]]) -> Any:
        return items.no_groups(groups)

    def create(self, validated_data: dict[str, Any]) -> ChangeRequest:
        view = self.context["view"]
        request = services.create_change_request(view.environment, view.actor, **_parts(validated_data))
        return whole().get(pk=request.pk)

    def update(self, instance: ChangeRequest, validated_data: dict[str, Any]) -> ChangeRequest:
        services.update_change_request(instance, self.context["view"].actor, **_parts(validated_data))
        return whole().get(pk=instance.pk)


def _parts(validated_data: dict[str, Any]) -> dict[str, Any]:
    """What the services take: the request's own columns, what it is to do, and who is asked to approve."""
    parts: dict[str, Any] = {}
    for name in ("title", "description", "ignore_conflicts"):
        if name in validated_data:
            parts[name] = validated_data[name]
    if "feature_states" in validated_data:
        parts["wishes"] = validated_data["feature_states"]
    if "approvals" in validated_data:
        parts["reviewers"] = validated_data["approvals"]
    return parts


class ConflictSerializer(serializers.Serializer[Any]):
    """What another change request did at the same place since this one was made."""

    original_cr_id = serializers.IntegerField()
    segment_id = serializers.IntegerField(allow_null=True)
    is_environment_default = serializers.BooleanField()
    published_at = serializers.DateTimeField()


class RetrievedChangeRequestSerializer(ChangeRequestSerializer):
    """A change request that ``reading.whole`` has read, with all that its page shows."""

    segments = NoItems()
    conflicts = serializers.SerializerMethodField()

    class Meta(ChangeRequestSerializer.Meta):
        fields = (
            "id",
            "created_at",
            "updated_at",
            "environment",
            "title",
            "description",
            "feature_states",
            "user",
            "committed_at",
            "committed_by",
            "deleted_at",
            "approvals",
            "is_approved",
            "is_committed",
            "group_assignments",
            "environment_feature_versions",
            "segments",
            "change_sets",
            "conflicts",
            "ignore_conflicts",
        )
        read_only_fields = fields

    @extend_schema_field(ConflictSerializer(many=True))
    def get_conflicts(self, request: ChangeRequest) -> Any:
        return ConflictSerializer(conflicts_of(request), many=True).data


class ListedChangeRequestSerializer(serializers.ModelSerializer[ChangeRequest]):
    """A change request in a list. Whoever lists annotates ``live_from``."""

    deleted_at = ConstantText(None)
    live_from = serializers.DateTimeField(read_only=True, allow_null=True)
    environment_feature_versions = NoItems()

    class Meta:
        model = ChangeRequest
        fields = (
            "id",
            "created_at",
            "updated_at",
            "title",
            "description",
            "user",
            "committed_at",
            "committed_by",
            "deleted_at",
            "live_from",
            "environment_feature_versions",
            "ignore_conflicts",
        )
        read_only_fields = fields


class ChangeRequestFilterSerializer(serializers.Serializer[Any]):
    """The query of a list of change requests."""

    committed = serializers.BooleanField(required=False, allow_null=True)
    search = serializers.CharField(required=False, help_text="Part of the title, in any case.")
    feature_id = ObjectID(required=False)
    segment_id = ObjectID(required=False)
    live_from_after = serializers.DateTimeField(required=False, help_text="What goes live, or went, after this time.")

    @classmethod
    def read(cls, query: Any) -> dict[str, Any]:
        """What a query asks for. An empty parameter asks for nothing."""
        serializer = cls(data={name: text for name, text in query.items() if text})
        serializer.is_valid(raise_exception=True)
        return dict(serializer.validated_data)
