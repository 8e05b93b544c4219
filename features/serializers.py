import re
from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import PermissionDenied, ValidationError

from core.fields import ConstantText, EmptyList
from core.representation import QuickSerializer
from features import services
from features.fields import (
    MAX_IDS,
    GroupOwners,
    InitialValue,
    ObjectID,
    Owners,
    ProjectObjects,
    RawValue,
)
from features.models import Feature, FeatureState
from features.multivariate.serializers import DEFAULTS_OVER_100, NestedOptionSerializer
from features.multivariate.services import options_exceed_100
from projects.access import is_project_admin
from projects.models import Project
from projects.tags.models import Tag
from users.models import FFAdminUser


class StateSummarySerializer(serializers.ModelSerializer[FeatureState]):
    """Schema of a feature state inside its feature. ``features.state_summaries`` builds the dict."""

    feature_state_value = RawValue(read_only=True)

    class Meta:
        model = FeatureState
        fields = ("id", "feature_state_value", "environment", "identity", "feature_segment", "enabled")
        read_only_fields = fields


def project_tags(project: Project) -> Any:
    return Tag.objects.filter(project=project)


class FeatureSerializer(QuickSerializer, serializers.ModelSerializer[Feature]):
    """A feature. State fields are empty unless ``state_summaries.attach`` has set them."""

    initial_value = InitialValue(
        max_length=settings.FEATURE_VALUE_LIMIT, required=False, allow_null=True, allow_blank=True
    )
    tags = ProjectObjects(project_tags, required=False)
    multivariate_options = NestedOptionSerializer(many=True, required=False)
    owners = Owners(services.possible_owners, required=False)
    group_owners = GroupOwners(services.possible_group_owners, required=False)
    environment_feature_state = serializers.SerializerMethodField()
    segment_feature_state = serializers.SerializerMethodField()
    num_segment_overrides = serializers.SerializerMethodField()
    num_identity_overrides = serializers.SerializerMethodField()
    is_num_identity_overrides_complete = serializers.BooleanField(read_only=True, default=True)
    last_modified_in_any_environment = ConstantText(None)
    last_modified_in_current_environment = ConstantText(None)

    class Meta:
        model = Feature
        fields: tuple[str, ...] = (
            "id",
            "name",
            "type",
            "default_enabled",
            "initial_value",
            "created_date",
            "description",
            "tags",
            "multivariate_options",
            "is_archived",
            "owners",
            "group_owners",
            "uuid",
            "project",
            "environment_feature_state",
            "segment_feature_state",
            "num_segment_overrides",
            "num_identity_overrides",
            "is_num_identity_overrides_complete",
            "is_server_key_only",
            "last_modified_in_any_environment",
            "last_modified_in_current_environment",
        )
        read_only_fields: tuple[str, ...] = ("project",)
        extra_kwargs = {"type": {"allow_blank": False}}

    @extend_schema_field(StateSummarySerializer(allow_null=True))
    def get_environment_feature_state(self, feature: Feature) -> Any:
        return getattr(feature, "environment_state", None)

    @extend_schema_field(StateSummarySerializer(allow_null=True))
    def get_segment_feature_state(self, feature: Feature) -> Any:
        return getattr(feature, "segment_state", None)

    def get_num_segment_overrides(self, feature: Feature) -> int:
        return getattr(feature, "segment_overrides", 0)

    def get_num_identity_overrides(self, feature: Feature) -> int | None:
        """Null instead of 0, as in Flagsmith."""
        return getattr(feature, "identity_overrides", None) or None

    def validate_name(self, name: str) -> str:
        project = self.context["view"].project
        if project.feature_name_regex and not name_matches(project.feature_name_regex, name):
            raise ValidationError(f"Feature name must match regex: {project.feature_name_regex}")
        if services.name_is_taken(project, name):
            raise ValidationError(services.NAME_TAKEN)
        return name

    def validate_multivariate_options(self, options: list[dict[str, Any]]) -> list[dict[str, Any]]:
        removes = self.instance is not None and not options and self.instance.multivariate_options.exists()
        if (options or removes) and not is_project_admin(self.context["view"].actor, self.context["view"].project):
            raise PermissionDenied
        if options_exceed_100(options, self.instance):
            raise ValidationError(DEFAULTS_OVER_100)
        return options

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        enforced = self.instance is None and self.context["view"].project.enforce_feature_owners
        if enforced and not (attrs.get("owners") or attrs.get("group_owners")):
            raise ValidationError({"owners": ["Features of this project need an owner."]})
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Feature:
        actor = self.context["view"].actor
        return services.create_feature(
            self.context["view"].project,
            creator=actor if isinstance(actor, FFAdminUser) else None,
            **_service_arguments(validated_data),
        )

    def update(self, instance: Feature, validated_data: dict[str, Any]) -> Feature:
        return services.update_feature(instance, **_service_arguments(validated_data))


class NewFeatureSerializer(FeatureSerializer):
    """Request and response of a creation."""

    metadata = EmptyList()

    class Meta(FeatureSerializer.Meta):
        fields = (*FeatureSerializer.Meta.fields, "metadata")


class ListedFeatureSerializer(NewFeatureSerializer):
    """A feature of a list, or a retrieved one."""

    code_references_counts = EmptyList()

    class Meta(NewFeatureSerializer.Meta):
        fields = (*NewFeatureSerializer.Meta.fields, "code_references_counts")


class ChangedFeatureSerializer(ListedFeatureSerializer):
    """An update. Name and initial values cannot change; owners have endpoints of their own."""

    # The answer to a PATCH has it not, as in Flagsmith.
    optional_in_responses = ("is_num_identity_overrides_complete",)

    initial_value = InitialValue(read_only=True, allow_null=True)
    owners = Owners(read_only=True)
    group_owners = GroupOwners(read_only=True)

    class Meta(ListedFeatureSerializer.Meta):
        read_only_fields = ("project", "name", "default_enabled")


class OwnedFeatureSerializer(serializers.ModelSerializer[Feature]):
    """The response to a change of a feature's owners."""

    owners = Owners(read_only=True)
    group_owners = GroupOwners(read_only=True)

    class Meta:
        model = Feature
        fields = (
            "id",
            "name",
            "created_date",
            "description",
            "initial_value",
            "default_enabled",
            "type",
            "owners",
            "group_owners",
            "is_server_key_only",
        )
        read_only_fields = fields


class UserIDsSerializer(serializers.Serializer[Any]):
    user_ids = serializers.ListField(child=ObjectID(), max_length=MAX_IDS)


class GroupIDsSerializer(serializers.Serializer[Any]):
    group_ids = serializers.ListField(child=ObjectID(), max_length=MAX_IDS)


def _service_arguments(validated_data: dict[str, Any]) -> dict[str, Any]:
    """Keyword arguments for the services: ``multivariate_options`` is renamed to ``options``."""
    columns = dict(validated_data)
    if "multivariate_options" in columns:
        columns["options"] = columns.pop("multivariate_options")
    return columns


def name_matches(regex: str, name: str) -> bool:
    """Whether the whole name matches. An invalid regular expression matches nothing."""
    try:
        return re.fullmatch(regex, name) is not None
    except re.error:
        return False
