import re
from typing import Any

from rest_framework import serializers
from rest_framework.validators import UniqueTogetherValidator

from core.fields import ConstantBoolean, ConstantText
from core.paths import MAX_ID
from core.representation import QuickSerializer
from organisations.permissions import catalogue
from organisations.permissions.serializers import (
    GroupPermissionSerializer,
    ListedGroupMixin,
    ListedUserMixin,
    PermissionKeysField,
    UserPermissionSerializer,
)
from projects.models import Project, UserPermissionGroupProjectPermission, UserProjectPermission
from projects.services import create_project, plan_of
from realtime.hosts import plan_allows

NAME_TAKEN = "A project with this name already exists."


class ProjectSerializer(QuickSerializer, serializers.ModelSerializer):
    """A project in a list. The fields of Flagsmith's edge API have defaults, since the edge API is not available."""

    enable_dynamo_db = ConstantBoolean(False)
    migration_status = ConstantText("NOT_APPLICABLE")
    use_edge_identities = ConstantBoolean(False)
    show_edge_identity_overrides_for_feature = ConstantBoolean(False)
    edge_v2_migration_status = ConstantText("NOT_STARTED")

    class Meta:
        model = Project
        fields: tuple[str, ...] = (
            "id",
            "uuid",
            "name",
            "organisation",
            "hide_disabled_flags",
            "enable_dynamo_db",
            "migration_status",
            "use_edge_identities",
            "prevent_flag_defaults",
            "enable_realtime_updates",
            "only_allow_lower_case_feature_names",
            "feature_name_regex",
            "show_edge_identity_overrides_for_feature",
            "stale_flags_limit_days",
            "edge_v2_migration_status",
            "minimum_change_request_approvals",
            "enforce_feature_owners",
        )


class CreateProjectSerializer(ProjectSerializer):
    """A new project. The view has already checked that the caller may create projects in the organisation."""

    class Meta(ProjectSerializer.Meta):
        validators = [
            UniqueTogetherValidator(Project.objects.all(), fields=("name", "organisation"), message=NAME_TAKEN)
        ]
        extra_kwargs = {
            "stale_flags_limit_days": {"min_value": 0},
            "minimum_change_request_approvals": {"min_value": 0},
        }

    def validate_feature_name_regex(self, pattern: str | None) -> str | None:
        try:
            re.compile(pattern or "")
        except (re.error, OverflowError, RecursionError) as error:
            raise serializers.ValidationError(f"This is not a regular expression: {error}.") from error
        return pattern

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Check that the plan allows real-time updates if the request enables them. They stay enabled with any plan."""
        is_on = self.instance is not None and self.instance.enable_realtime_updates
        if attrs.get("enable_realtime_updates") and not is_on:
            plan = plan_of(attrs["organisation"] if self.instance is None else self.instance.organisation)
            if not plan_allows(plan):
                subscription = f"the plan {plan!r}" if plan else "no plan"
                message = f"Real-time updates are not available: the organisation has {subscription}."
                raise serializers.ValidationError({"enable_realtime_updates": [message]})
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Project:
        return create_project(self.context["request"].user, **validated_data)


class UpdateProjectSerializer(CreateProjectSerializer):
    """An existing project. Its organisation cannot be changed."""

    class Meta(CreateProjectSerializer.Meta):
        read_only_fields = ("organisation",)


class ProjectDetailSerializer(ProjectSerializer):
    total_features = serializers.IntegerField(source="features.count", read_only=True)
    total_segments = serializers.IntegerField(source="segments.count", read_only=True)

    class Meta(ProjectSerializer.Meta):
        fields = (
            *ProjectSerializer.Meta.fields,
            "max_segments_allowed",
            "max_features_allowed",
            "max_segment_overrides_allowed",
            "total_features",
            "total_segments",
        )


class ProjectFilterSerializer(serializers.Serializer):
    organisation = serializers.IntegerField(required=False, min_value=0, max_value=MAX_ID)
    uuid = serializers.UUIDField(required=False)

    def to_internal_value(self, data: Any) -> dict[str, Any]:
        """Ignore empty parameters. For an invalid organisation the error is text and not a list, as in Flagsmith."""
        try:
            return super().to_internal_value({name: text for name, text in data.items() if text})
        except serializers.ValidationError as error:
            if "organisation" in error.detail:
                raise serializers.ValidationError({"organisation": "Must be a valid integer."}) from error
            raise


class UserProjectPermissionSerializer(UserPermissionSerializer):
    permissions = PermissionKeysField(catalogue.PROJECT, required=False)

    class Meta:
        model = UserProjectPermission
        fields = ("id", "permissions", "admin", "user")


class ListedUserProjectPermissionSerializer(ListedUserMixin, UserProjectPermissionSerializer):
    pass


class GroupProjectPermissionSerializer(GroupPermissionSerializer):
    permissions = PermissionKeysField(catalogue.PROJECT, required=False)

    class Meta:
        model = UserPermissionGroupProjectPermission
        fields = ("id", "permissions", "admin", "group")


class ListedGroupProjectPermissionSerializer(ListedGroupMixin, GroupProjectPermissionSerializer):
    pass
