import re
from typing import Any

from rest_framework import serializers
from rest_framework.validators import UniqueTogetherValidator

from core.fields import ConstantList
from core.paths import ENVIRONMENT_KEY
from core.representation import QuickSerializer
from environments.models import (
    Environment,
    EnvironmentAPIKey,
    ReservedKey,
    UserEnvironmentPermission,
    UserPermissionGroupEnvironmentPermission,
)
from environments.services import clone_environment, create_environment
from organisations.groups.serializers import GroupSerializer
from organisations.permissions import catalogue
from organisations.permissions.serializers import (
    GroupPermissionSerializer,
    ListedUserMixin,
    PermissionKeysField,
    UserPermissionSerializer,
)

NAME_TAKEN = "An environment with this name already exists."
KEY_TAKEN = "environment with this api key already exists."

# Not allowed as keys: paths of the API have these words in the place of a key.
PATH_WORDS = frozenset({"permissions", "get-by-uuid"})


class EnvironmentSerializer(QuickSerializer, serializers.ModelSerializer):
    """An environment as a part of another object."""

    use_mv_v2_evaluation = serializers.BooleanField(source="use_identity_composite_key_for_hashing", read_only=True)

    class Meta:
        model = Environment
        fields: tuple[str, ...] = (
            "id",
            "uuid",
            "name",
            "api_key",
            "description",
            "project",
            "minimum_change_request_approvals",
            "allow_client_traits",
            "banner_text",
            "banner_colour",
            "hide_disabled_flags",
            "use_mv_v2_evaluation",
            "use_identity_composite_key_for_hashing",
            "hide_sensitive_data",
            "use_v2_feature_versioning",
            "use_identity_overrides_in_local_eval",
            "is_creating",
        )
        read_only_fields: tuple[str, ...] = ("use_v2_feature_versioning", "is_creating")


class EnvironmentWithMetadataSerializer(EnvironmentSerializer):
    metadata = ConstantList([])

    class Meta(EnvironmentSerializer.Meta):
        fields = (*EnvironmentSerializer.Meta.fields, "metadata")


class EnvironmentDetailSerializer(EnvironmentWithMetadataSerializer):
    total_segment_overrides = serializers.IntegerField(source="feature_segments.count", read_only=True)

    class Meta(EnvironmentWithMetadataSerializer.Meta):
        fields = (*EnvironmentWithMetadataSerializer.Meta.fields, "total_segment_overrides")


class CreateEnvironmentSerializer(EnvironmentWithMetadataSerializer):
    """A new environment. The view has already checked that the caller may create environments in the project."""

    class Meta(EnvironmentWithMetadataSerializer.Meta):
        validators = [
            UniqueTogetherValidator(Environment.objects.all(), fields=("name", "project"), message=NAME_TAKEN)
        ]
        # ``validate_api_key`` checks for uniqueness, also among reserved keys.
        extra_kwargs = {"minimum_change_request_approvals": {"min_value": 0}, "api_key": {"validators": []}}

    def validate_api_key(self, key: str) -> str:
        """The key must be usable in paths, and neither in use nor reserved for another organisation."""
        if not re.fullmatch(ENVIRONMENT_KEY, key) or key in PATH_WORDS:
            raise serializers.ValidationError("A key has only letters and digits of ASCII, hyphens and underscores.")
        others = Environment.objects.filter(api_key=key)
        if self.instance is not None:
            others = others.exclude(pk=self.instance.pk)
        organisation_id = self.context["view"].project.organisation_id
        if others.exists() or ReservedKey.objects.filter(key=key).exclude(organisation_id=organisation_id).exists():
            raise serializers.ValidationError(KEY_TAKEN)
        return key

    def create(self, validated_data: dict[str, Any]) -> Environment:
        return create_environment(self.context["request"].user, **validated_data)


class UpdateEnvironmentSerializer(CreateEnvironmentSerializer):
    """An existing environment. Its project cannot be changed."""

    class Meta(CreateEnvironmentSerializer.Meta):
        read_only_fields = (*EnvironmentSerializer.Meta.read_only_fields, "project")


class CloneEnvironmentSerializer(serializers.ModelSerializer):
    """A clone of an environment. The states are cloned before the response, so the async flag is ignored."""

    clone_feature_states_async = serializers.BooleanField(default=False, write_only=True)

    class Meta:
        model = Environment
        fields = ("id", "name", "api_key", "project", "clone_feature_states_async")
        read_only_fields = ("api_key", "project")
        validators: tuple[Any, ...] = ()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if Environment.objects.filter(project=self.context["view"].project, name=attrs["name"]).exists():
            raise serializers.ValidationError(NAME_TAKEN)
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Environment:
        return clone_environment(self.context["request"].user, self.context["view"].environment, validated_data["name"])


class EnvironmentAPIKeySerializer(serializers.ModelSerializer):
    class Meta:
        model = EnvironmentAPIKey
        fields = ("id", "key", "active", "created_at", "name", "expires_at")
        read_only_fields = ("key",)


class TraitKeysSerializer(serializers.Serializer):
    keys = serializers.ListField(child=serializers.CharField())


class DeleteTraitsSerializer(serializers.Serializer):
    key = serializers.CharField()


class UserEnvironmentPermissionSerializer(UserPermissionSerializer):
    permissions = PermissionKeysField(catalogue.ENVIRONMENT, required=False)

    class Meta:
        model = UserEnvironmentPermission
        fields = ("id", "permissions", "admin", "user")


class ListedUserEnvironmentPermissionSerializer(ListedUserMixin, UserEnvironmentPermissionSerializer):
    pass


class GroupEnvironmentPermissionSerializer(GroupPermissionSerializer):
    permissions = PermissionKeysField(catalogue.ENVIRONMENT, required=False)

    class Meta:
        model = UserPermissionGroupEnvironmentPermission
        fields = ("id", "permissions", "admin", "group")


class ListedGroupEnvironmentPermissionSerializer(GroupEnvironmentPermissionSerializer):
    """In this list the group has its users as objects. In lists for projects and organisations it has their ids."""

    group = GroupSerializer()
