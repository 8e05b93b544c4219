"""The organisations that an actor sees, and the actor's rights in them. Every view's queries start with this module,
``projects.access`` or ``environments.access``, so that nobody reaches another tenant's objects.

An actor is a caller of the Admin API: a user (``FFAdminUser``) or a master API key (``APIKeyUser``), which acts as
an admin of its organisation.

A user has what was given to them and what was given to their groups, as long as they belong to the organisation. Both
are asked for in the same query.
"""

from typing import Any

from django.db.models import Q, QuerySet

from api_keys.actor import APIKeyUser
from organisations.models import Organisation, OrganisationRole, UserOrganisation
from realtime.prepared import PreparedSubquery
from users.models import FFAdminUser, UserPermissionGroup

Actor = FFAdminUser | APIKeyUser


def visible_organisations(actor: Actor) -> QuerySet[Organisation]:
    """The organisations that the actor belongs to."""
    if isinstance(actor, APIKeyUser):
        return Organisation.objects.filter(pk=actor.organisation_id)
    return Organisation.objects.filter(userorganisation__user=actor)


def administered_organisations(actor: Actor) -> QuerySet[Organisation]:
    """The organisations that the actor is an admin of."""
    if isinstance(actor, APIKeyUser):
        return visible_organisations(actor)
    return Organisation.objects.filter(pk__in=PreparedSubquery(member_organisations, actor.pk, OrganisationRole.ADMIN))


def manageable_groups(actor: Actor, organisation: Organisation) -> QuerySet[UserPermissionGroup]:
    """The groups of the organisation that the actor may change: all with MANAGE_USER_GROUPS, else as a group admin."""
    groups = UserPermissionGroup.objects.filter(organisation=organisation)
    if isinstance(actor, APIKeyUser) or has_organisation_permission(actor, organisation, "MANAGE_USER_GROUPS"):
        return groups
    return groups.filter(memberships__ffadminuser=actor, memberships__group_admin=True)


def own_groups(actor: Actor, organisation: Organisation) -> QuerySet[UserPermissionGroup]:
    """The groups that the actor belongs to; whoever may manage all of them has all of them, as in Flagsmith."""
    groups = UserPermissionGroup.objects.filter(organisation=organisation)
    if isinstance(actor, APIKeyUser) or has_organisation_permission(actor, organisation, "MANAGE_USER_GROUPS"):
        return groups
    return groups.filter(memberships__ffadminuser=actor)


def is_organisation_admin(actor: Actor, organisation: Organisation) -> bool:
    if isinstance(actor, APIKeyUser):
        return actor.organisation_id == organisation.pk
    return UserOrganisation.objects.filter(user=actor, organisation=organisation, role=OrganisationRole.ADMIN).exists()


def has_organisation_permission(actor: Actor, organisation: Organisation, key: str) -> bool:
    return is_organisation_admin(actor, organisation) or key in permissions_in(actor, organisation)


def may_create_project(actor: Actor, organisation: Organisation) -> bool:
    """An admin may; others with CREATE_PROJECT, unless the organisation leaves it to admins."""
    if organisation.restrict_project_create_to_admin:
        return is_organisation_admin(actor, organisation)
    return has_organisation_permission(actor, organisation, "CREATE_PROJECT")


HELD_BY = (("userpermission", "user"), ("grouppermission", "group__users"))
"""The two tables of permissions, as relations of what they are for, and how their rows lead to a user."""


def granted(scope: type[Any], user_id: Any, key: str | None) -> Q:
    """Of these projects or environments, those where the user, or a group of theirs, is admin or has this key; without
    a key, where they are admin."""
    own, of_groups = (Q(pk__in=PreparedSubquery(_held, user_id, scope, *held, key)) for held in HELD_BY)
    return own | of_groups


def permissions_in(actor: Actor, scope: Any) -> set[str]:
    """The keys that the actor, or a group of theirs, has in an organisation, project or environment. An admin needs
    none.
    """
    if isinstance(actor, APIKeyUser):
        return set()
    rows = (getattr(scope, rows).filter(**{holder: actor}).order_by() for rows, holder in HELD_BY)
    own, of_groups = (each.exclude(permissions=None).values_list("permissions", flat=True) for each in rows)
    return set(own.union(of_groups))


# The functions below are compiled once, with a placeholder for the user's primary key.


def member_organisations(user_id: Any, role: str | None = None) -> QuerySet[Any, Any]:
    """The primary keys of the organisations that the user belongs to, with this role if it is not None."""
    member = UserOrganisation.objects.filter(user=user_id)
    return (member.filter(role=role) if role else member).values("organisation")


def _held(user_id: Any, scope: type[Any], rows: str, holder: str, key: str | None) -> QuerySet[Any, Any]:
    enough = Q(**{f"{rows}__admin": True})
    if key is not None:
        enough |= Q(**{f"{rows}__permissions": key})
    return scope.objects.filter(enough, **{f"{rows}__{holder}": user_id}).values("pk")
