"""Serializers of groups of users for the Admin API."""

from typing import Any

from rest_framework import serializers

from core.paths import MAX_ID
from users.models import UserPermissionGroup, UserPermissionGroupMembership

EXTERNAL_ID_TAKEN = "Another group of this organisation has this external id."

# The database limits the number of a query's parameters.
MAX_USERS = 1_000


class GroupSummarySerializer(serializers.ModelSerializer[UserPermissionGroup]):
    """A group as all members of the organisation may see it."""

    class Meta:
        model = UserPermissionGroup
        fields = ("id", "name")
        read_only_fields = fields


class GroupMemberSerializer(serializers.ModelSerializer[UserPermissionGroupMembership]):
    """A user in a group."""

    id = serializers.IntegerField(source="ffadminuser.id")
    email = serializers.EmailField(source="ffadminuser.email")
    first_name = serializers.CharField(source="ffadminuser.first_name")
    last_name = serializers.CharField(source="ffadminuser.last_name")
    last_login = serializers.DateTimeField(source="ffadminuser.last_login", allow_null=True)

    class Meta:
        model = UserPermissionGroupMembership
        fields = ("id", "email", "first_name", "last_name", "last_login", "group_admin")
        read_only_fields = fields


class GroupSerializer(serializers.ModelSerializer[UserPermissionGroup]):
    """A group with its members, which ``add-users/`` and ``remove-users/`` change."""

    users = GroupMemberSerializer(source="memberships", many=True, read_only=True)

    class Meta:
        model = UserPermissionGroup
        fields = ("id", "name", "users", "is_default", "external_id")

    def validate_external_id(self, external_id: str | None) -> str | None:
        others = self.context["view"].organisation.permission_groups.filter(external_id=external_id)
        if self.instance is not None:
            others = others.exclude(pk=self.instance.pk)
        if external_id is not None and others.exists():
            raise serializers.ValidationError(EXTERNAL_ID_TAKEN)
        return external_id


class GroupWithUserIDsSerializer(serializers.ModelSerializer[UserPermissionGroup]):
    """A group in a list of permissions, with the ids of its users."""

    users = serializers.SerializerMethodField()

    class Meta:
        model = UserPermissionGroup
        fields = ("id", "name", "users", "is_default", "external_id")
        read_only_fields = fields

    def get_users(self, group: UserPermissionGroup) -> list[int]:
        return [membership.ffadminuser_id for membership in group.memberships.all()]


class UsersOfGroupSerializer(serializers.Serializer[Any]):
    """The ids of users to add to a group or to remove from it."""

    user_ids = serializers.ListField(
        child=serializers.IntegerField(min_value=0, max_value=MAX_ID), max_length=MAX_USERS
    )

    def validate_user_ids(self, user_ids: list[int]) -> list[int]:
        return list(dict.fromkeys(user_ids))
