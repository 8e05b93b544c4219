"""Memberships of users in groups."""

from collections.abc import Collection, Iterable

from organisations.models import Organisation, UserOrganisation
from users.models import FFAdminUser, UserPermissionGroup, UserPermissionGroupMembership


def non_members(organisation: Organisation, user_ids: Collection[int]) -> list[int]:
    """The ids of users who do not belong to the organisation or do not exist."""
    memberships = UserOrganisation.objects.filter(organisation=organisation, user__in=user_ids)
    members = set(memberships.values_list("user_id", flat=True))
    return [pk for pk in user_ids if pk not in members]


def add_users(groups: Iterable[UserPermissionGroup], user_ids: Iterable[int]) -> None:
    """Add the users to each of the groups. Existing memberships do not change."""
    user_ids = list(user_ids)
    UserPermissionGroupMembership.objects.bulk_create(
        [
            UserPermissionGroupMembership(userpermissiongroup=group, ffadminuser_id=user_id)
            for group in groups
            for user_id in user_ids
        ],
        ignore_conflicts=True,
    )


def remove_users(group: UserPermissionGroup, user_ids: Collection[int]) -> None:
    """Remove the users from the group. Users who are not in it are ignored."""
    group.memberships.filter(ffadminuser__in=user_ids).delete()


def join_default_groups(organisation: Organisation, user: FFAdminUser) -> None:
    """Add a new member of the organisation to its default groups."""
    add_users(organisation.permission_groups.filter(is_default=True), [user.pk])
