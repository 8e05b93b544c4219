"""Serializers of change requests of environments, and their common base."""

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ValidationError

from core.fields import ConstantText, EmptyList
from core.queries import QuerySerializer
from features.fields import ObjectID
from features.workflows.core import items, services
from features.workflows.core.conflicts import find_conflicts
from features.workflows.core.details import detailed_requests
from features.workflows.core.models import ChangeRequest

NO_VERSIONS = "Feature versioning v2 is not supported. Send feature_states instead."


@extend_schema_field({"type": "array", "items": {"type": "object"}})
class UnsupportedVersions(serializers.ListField):
    """A field of feature versioning v2, which is not supported: an empty list in requests and responses."""

    child = serializers.JSONField()

    def get_attribute(self, instance: Any) -> Any:
        return []

    def to_internal_value(self, data: Any) -> Any:
        if super().to_internal_value(data):
            raise ValidationError(NO_VERSIONS)
        return []


class RequestSerializer(serializers.ModelSerializer[ChangeRequest]):
    """Base of the change requests of environments and of projects."""

    deleted_at = ConstantText(None)
    approvals = items.ApprovalSerializer(many=True, required=False)
    group_assignments = items.GroupAssignmentSerializer(many=True, required=False)

    def validate_approvals(self, approvals: list[dict[str, Any]]) -> Any:
        return items.validate_reviewers(approvals, self.context["view"].project)

    def validate_group_assignments(self, groups: list[dict[str, Any]]) -> Any:
        return items.validate_groups(groups)


def service_arguments(validated_data: dict[str, Any], changes_field: str) -> dict[str, Any]:
    """Keyword arguments for the services. ``changes_field`` is the body's field of states or segments."""
    arguments = {"title": "title", "description": "description", "ignore_conflicts": "ignore_conflicts"}
    arguments |= {changes_field: "requested", "change_sets": "change_sets", "approvals": "reviewers"}
    return {name: validated_data[field] for field, name in arguments.items() if field in validated_data}


class ChangeRequestSerializer(RequestSerializer):
    """A change request to create or edit, and the response."""

    feature_states = items.RequestedStateSerializer(many=True)
    environment_feature_versions = UnsupportedVersions(required=False)
    change_sets = items.ChangeSets(child=items.ChangeSetSerializer(), required=False, allow_null=True)

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
        return items.validate_feature_states(states, self.context["view"].environment)

    def validate_change_sets(self, change_sets: list[dict[str, Any]] | None) -> Any:
        """Null, which Flagsmith's dashboard sends, leaves them as they are."""
        if change_sets is None:
            return None
        stored = self.instance.change_sets.all() if isinstance(self.instance, ChangeRequest) else ()
        return items.validate_change_sets(change_sets, self.context["view"].environment, stored)

    def create(self, validated_data: dict[str, Any]) -> ChangeRequest:
        view = self.context["view"]
        request = services.create_change_request(
            view.environment, view.actor, **service_arguments(validated_data, "feature_states")
        )
        return detailed_requests().get(pk=request.pk)

    def update(self, instance: ChangeRequest, validated_data: dict[str, Any]) -> ChangeRequest:
        services.update_change_request(
            instance, self.context["view"].actor, **service_arguments(validated_data, "feature_states")
        )
        return detailed_requests().get(pk=instance.pk)


class ConflictSerializer(serializers.Serializer[Any]):
    """A change of the same target by another change request, since this one was created."""

    original_cr_id = serializers.IntegerField()
    segment_id = serializers.IntegerField(allow_null=True)
    is_environment_default = serializers.BooleanField()
    published_at = serializers.DateTimeField()


class RetrievedChangeRequestSerializer(ChangeRequestSerializer):
    """A change request of ``details.detailed_requests``."""

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
        return ConflictSerializer(find_conflicts(request), many=True).data


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
    """Query parameters of a list of change requests."""

    committed = serializers.BooleanField(required=False, allow_null=True)
    search = serializers.CharField(required=False, help_text="Part of the title, in any case.")
    segment_id = ObjectID(required=False)


class ChangeRequestFilterSerializer(RequestFilterSerializer):
    feature_id = ObjectID(required=False)
    live_from_after = serializers.DateTimeField(
        required=False, help_text="Requests that go live, or went live, after this time."
    )
