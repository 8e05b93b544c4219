"""Change requests as the Admin API speaks of them."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from core.fields import ConstantText, EmptyList
from core.queries import QuerySerializer
from features.fields import ObjectID
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


class RequestSerializer(serializers.ModelSerializer[ChangeRequest]):
    """What the change requests of an environment and those of a project have in common."""

    deleted_at = ConstantText(None)
    approvals = items.ApprovalSerializer(many=True, required=False)
    group_assignments = items.GroupAssignmentSerializer(many=True, required=False)

    def validate_approvals(self, approvals: list[dict[str, Any]]) -> Any:
        return items.reviewers(approvals, self.context["view"].project)

    def validate_group_assignments(self, groups: list[dict[str, Any]]) -> Any:
        return items.no_groups(groups)


def parts(validated_data: dict[str, Any], changes: str) -> dict[str, Any]:
    """What the services take: a request's own columns, what it is to do (``changes`` in the body), who is asked."""
    named = {"title": "title", "description": "description", "ignore_conflicts": "ignore_conflicts"}
    named |= {changes: "wishes", "approvals": "reviewers"}
    return {part: validated_data[name] for name, part in named.items() if name in validated_data}


class ChangeRequestSerializer(RequestSerializer):
    """A change request as it is made, edited, and answered then."""

    feature_states = items.RequestedStateSerializer(many=True)
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

    def create(self, validated_data: dict[str, Any]) -> ChangeRequest:
        view = self.context["view"]
        request = services.create_change_request(
            view.environment, view.actor, **parts(validated_data, "feature_states")
        )
        return whole().get(pk=request.pk)

    def update(self, instance: ChangeRequest, validated_data: dict[str, Any]) -> ChangeRequest:
        services.update_change_request(instance, self.context["view"].actor, **parts(validated_data, "feature_states"))
        return whole().get(pk=instance.pk)


class ConflictSerializer(serializers.Serializer[Any]):
    """What another change request did at the same place since this one was made."""

    original_cr_id = serializers.IntegerField()
    segment_id = serializers.IntegerField(allow_null=True)
    is_environment_default = serializers.BooleanField()
    published_at = serializers.DateTimeField()


class RetrievedChangeRequestSerializer(ChangeRequestSerializer):
    """A change request that ``reading.whole`` has read, with all that its page shows."""

    segments = EmptyList()
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


class ListedRequestSerializer(serializers.ModelSerializer[ChangeRequest]):
    """A change request in a list. Subclasses add ``live_from``."""

    deleted_at = ConstantText(None)

    class Meta:
        model = ChangeRequest
        fields: tuple[str, ...] = (
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
        )
        read_only_fields: tuple[str, ...] = fields


class ListedChangeRequestSerializer(ListedRequestSerializer):
    """An environment's change request in a list. The queryset annotates ``live_from``."""

    live_from = serializers.DateTimeField(read_only=True, allow_null=True)
    environment_feature_versions = EmptyList()

    class Meta(ListedRequestSerializer.Meta):
        fields = (*ListedRequestSerializer.Meta.fields, "environment_feature_versions", "ignore_conflicts")
        read_only_fields = fields


class RequestFilterSerializer(QuerySerializer):
    """The query of a list of change requests, of an environment or of a project."""

    committed = serializers.BooleanField(required=False, allow_null=True)
    search = serializers.CharField(required=False, help_text="Part of the title, in any case.")
    segment_id = ObjectID(required=False)


class ChangeRequestFilterSerializer(RequestFilterSerializer):
    feature_id = ObjectID(required=False)
    live_from_after = serializers.DateTimeField(required=False, help_text="What goes live, or went, after this time.")
