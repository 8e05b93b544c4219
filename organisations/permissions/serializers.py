from typing import Any

from django.db.models import Model
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from organisations.groups.serializers import GroupWithUserIDsSerializer
from organisations.permissions.catalogue import SUPPORTS_TAG
from users.models import FFAdminUser, UserPermissionGroup
from users.serializers import UserSummarySerializer

HAS_PERMISSIONS = "This {holder} has permissions here already. Change those instead."


class PermissionSerializer(serializers.Serializer):
    """A permission of the catalogue."""

    key = serializers.CharField()
    description = serializers.CharField()
    supports_tag = serializers.BooleanField()


def describe(catalogue: dict[str, str]) -> list[dict[str, Any]]:
    """The data of ``PermissionSerializer`` for a part of the catalogue."""
    return [
        {"key": key, "description": description, "supports_tag": key in SUPPORTS_TAG}
        for key, description in catalogue.items()
    ]


class OwnPermissionsSerializer(serializers.Serializer):
    """The caller's own permissions in a scope. An admin has all permissions, also if ``permissions`` is empty."""

    permissions = serializers.ListField(child=serializers.CharField())
    admin = serializers.BooleanField()
    tag_based_permissions = serializers.ListField(child=serializers.JSONField(), default=list)


@extend_schema_field({"type": "array", "items": {"type": "string"}})
class PermissionKeysField(serializers.ListField):
    """Keys of one part of the catalogue. They are checked against the catalogue without a query."""

    def __init__(self, catalogue: dict[str, str], **kwargs: Any) -> None:
        super().__init__(child=serializers.ChoiceField(choices=list(catalogue)), **kwargs)

    def get_attribute(self, instance: Any) -> list[str]:
        return sorted(permission.key for permission in instance.permissions.all())


class HolderPermissionSerializer(serializers.ModelSerializer):
    """The permissions of one user or group in the view's scope. Subclasses add ``permissions`` and the model."""

    holder: str
    """The name of the field with the user or group."""

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Check that the user or group has no other row in the scope."""
        if self.holder in attrs:
            others = self.context["view"].get_queryset().filter(**{self.holder: attrs[self.holder]})
            if self.instance is not None:
                others = others.exclude(pk=self.instance.pk)
            if others.exists():
                raise serializers.ValidationError({self.holder: [HAS_PERMISSIONS.format(holder=self.holder)]})
        return attrs

    def create(self, validated_data: dict[str, Any]) -> Any:
        return super().create({"permissions": [], **validated_data})

    def update(self, instance: Model, validated_data: dict[str, Any]) -> Any:
        """Remove permissions that the request does not contain, for PATCH too, as in Flagsmith."""
        return super().update(instance, {"permissions": [], **validated_data})


class UserPermissionSerializer(HolderPermissionSerializer):
    holder = "user"

    def validate_user(self, user: FFAdminUser) -> FFAdminUser:
        """Check that the user is a member of the organisation. The error is the one for a user that does not exist."""
        if not user.organisations.filter(pk=self.context["view"].organisation.pk).exists():
            self.fields["user"].fail("does_not_exist", pk_value=user.pk)
        return user


class GroupPermissionSerializer(HolderPermissionSerializer):
    holder = "group"

    def validate_group(self, group: UserPermissionGroup) -> UserPermissionGroup:
        """Check that the group is one of the organisation. The error is the one for a group that does not exist."""
        if group.organisation_id != self.context["view"].organisation.pk:
            self.fields["group"].fail("does_not_exist", pk_value=group.pk)
        return group


class ListedUserMixin(serializers.Serializer):
    """In lists the user is an object. Elsewhere it is an id."""

    user = UserSummarySerializer()


class ListedGroupMixin(serializers.Serializer):
    """In lists the group is an object with the ids of its users. Elsewhere it is an id."""

    group = GroupWithUserIDsSerializer()
