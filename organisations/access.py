"""Query sets of the organisations that an actor may see, and checks of the actor's permissions in them.

The queries of all views start with this module, ``projects.access`` or ``environments.access``, so that no caller
reaches another tenant's objects.

An actor is a caller of the Admin API: a user (``FFAdminUser``) or a master API key (``APIKeyUser``), which has the
permissions of an admin of its organisation. A user has their own permissions and those of their groups, as long as they
belong to the organisation. One query reads both.
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
    """The groups that the actor may change: all groups with MANAGE_USER_GROUPS, otherwise those as a group admin."""
    groups = UserPermissionGroup.objects.filter(organisation=organisation)
    if isinstance(actor, APIKeyUser) or has_organisation_permission(actor, organisation, "MANAGE_USER_GROUPS"):
        return groups
    return groups.filter(memberships__ffadminuser=actor, memberships__group_admin=True)


def own_groups(actor: Actor, organisation: Organisation) -> QuerySet[UserPermissionGroup]:
    """The groups that the actor belongs to. With MANAGE_USER_GROUPS, all groups, as in Flagsmith."""
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
    """True for an admin, and with CREATE_PROJECT unless only admins of the organisation may create projects."""
    if organisation.restrict_project_create_to_admin:
        return is_organisation_admin(actor, organisation)
    return has_organisation_permission(actor, organisation, "CREATE_PROJECT")


PERMISSION_RELATIONS = (("userpermission", "user"), ("grouppermission", "group__users"))
"""The relations from an organisation, project or environment to its permissions, and from these to the user."""


def granted(scope: type[Any], user_id: Any, key: str | None) -> Q:
    """A condition on projects or environments: the user or a group of the user is an admin or has the permission
    ``key``. None: is an admin."""
    own, of_groups = (
        Q(pk__in=PreparedSubquery(_granted_ids, user_id, scope, *relations, key)) for relations in PERMISSION_RELATIONS
    )
    return own | of_groups


def permissions_in(actor: Actor, scope: Any) -> set[str]:
    """The permissions that the actor and the actor's groups have in an organisation, project or environment.

    Permissions that an admin has without being granted them are not included.
    """
    if isinstance(actor, APIKeyUser):
        return set()
    own, of_groups = (
        getattr(scope, permissions)
        .filter(**{user: actor})
        .order_by()
        .exclude(permissions=None)
        .values_list("permissions", flat=True)
        for permissions, user in PERMISSION_RELATIONS
    )
    return set(own.union(of_groups))


# ``PreparedSubquery`` compiles the query sets of these functions once, with a placeholder for ``user_id``.


def member_organisations(user_id: Any, role: str | None = None) -> QuerySet[Any, Any]:
    """The primary keys of the organisations that the user belongs to, with this role if it is not None."""
    memberships = UserOrganisation.objects.filter(user=user_id)
    return (memberships.filter(role=role) if role else memberships).values("organisation")


def _granted_ids(user_id: Any, scope: type[Any], permissions: str, user: str, key: str | None) -> QuerySet[Any, Any]:
    is_granted = Q(**{f"{permissions}__admin": True})
    if key is not None:
        is_granted |= Q(**{f"{permissions}__permissions": key})
    return scope.objects.filter(is_granted, **{f"{permissions}__{user}": user_id}).values("pk")
