"""Who belongs to a group of users."""

from collections.abc import Collection, Iterable

from organisations.models import Organisation, UserOrganisation
from users.models import FFAdminUser, UserPermissionGroup, UserPermissionGroupMembership


def strangers(organisation: Organisation, user_ids: Collection[int]) -> list[int]:
    """Those of these users who do not belong to the organisation, or do not exist."""
    members = UserOrganisation.objects.filter(organisation=organisation, user__in=user_ids)
    known = set(members.values_list("user_id", flat=True))
    return [pk for pk in user_ids if pk not in known]


def add_users(groups: Iterable[UserPermissionGroup], user_ids: Iterable[int]) -> None:
    """Make these users members of each of the groups; who is one already stays what they are."""
    users = list(user_ids)
    UserPermissionGroupMembership.objects.bulk_create(
        [
            UserPermissionGroupMembership(userpermissiongroup=group, ffadminuser_id=user)
            for group in groups
            for user in users
        ],
        ignore_conflicts=True,
    )


def remove_users(group: UserPermissionGroup, user_ids: Collection[int]) -> None:
    """End these users' membership of the group; others are no matter."""
    group.memberships.filter(ffadminuser__in=user_ids).delete()


def join_default_groups(organisation: Organisation, user: FFAdminUser) -> None:
    """Make a new member of the organisation one of the groups that all who join belong to."""
    add_users(organisation.permission_groups.filter(is_default=True), [user.pk])
