"""Who sees and may do what. Every view's queries start here, so that nobody reaches another tenant's objects.

An actor is whoever calls the Admin API: a user (``FFAdminUser``) or a master API key (``APIKeyUser``), which acts as
an admin of its organisation.

A user has what was given to them and what was given to their groups, as long as they belong to the organisation. Both
are asked for in the same query.
"""

from typing import Any

from django.db.models import Q, QuerySet

from api_keys.actor import APIKeyUser
from environments.models import Environment
from organisations.models import Organisation, OrganisationRole, UserOrganisation
from projects.models import Project
from realtime.prepared import PreparedSubquery
from users.models import FFAdminUser, UserPermissionGroup, UserPermissionGroupMembership

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
    return Organisation.objects.filter(pk__in=PreparedSubquery(_organisations, actor.pk, OrganisationRole.ADMIN))


def visible_projects(actor: Actor) -> QuerySet[Project]:
    """The projects that the actor may see: all of an admin's organisations, otherwise those with VIEW_PROJECT."""
    return permitted_projects(actor, "VIEW_PROJECT")


def visible_environments(actor: Actor) -> QuerySet[Environment]:
    """The environments that the actor may see, in projects that they may see."""
    visible = permitted_environments(actor, "VIEW_ENVIRONMENT")
    return visible if isinstance(actor, APIKeyUser) else visible.filter(_in_projects(actor.pk, "VIEW_PROJECT"))


def administered_projects(actor: Actor) -> QuerySet[Project]:
    """The projects that the actor is an admin of, by the organisation's role or by the project's own permission."""
    return permitted_projects(actor)


def administered_environments(actor: Actor) -> QuerySet[Environment]:
    """The environments that the actor is an admin of, by the project or by the environment's own permission."""
    return permitted_environments(actor)


def permitted_projects(actor: Actor, key: str | None = None) -> QuerySet[Project]:
    """The projects of the actor's organisations where they are an admin or were given the key."""
    if isinstance(actor, APIKeyUser):
        return Project.objects.filter(organisation_id=actor.organisation_id)
    return _projects(actor.pk, key)


def permitted_environments(actor: Actor, key: str | None = None) -> QuerySet[Environment]:
    """The environments where the actor is an admin or was given the key. Whether they see them is not asked."""
    if isinstance(actor, APIKeyUser):
        return Environment.objects.filter(project__in=visible_projects(actor).values("pk"))
    return Environment.objects.filter(_in_projects(actor.pk) | _granted(Environment, actor.pk, key))


def viewers(project: Project) -> QuerySet[FFAdminUser]:
    """The users who may see the project."""
    enough = Q(admin=True) | Q(permissions="VIEW_PROJECT")
    users = project.userpermission.filter(enough).values("user")
    groups = project.grouppermission.filter(enough).values("group")
    of_groups = UserPermissionGroupMembership.objects.filter(userpermissiongroup__in=groups)
    members = UserOrganisation.objects.filter(
        Q(role=OrganisationRole.ADMIN) | Q(user__in=users) | Q(user__in=of_groups.values("ffadminuser")),
        organisation=project.organisation_id,
    )
    return FFAdminUser.objects.filter(pk__in=members.values("user"))


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


def permissions_in(actor: Actor, scope: Organisation | Project | Environment) -> set[str]:
    """The keys that the actor, or a group of theirs, has in the scope. An admin needs none."""
    if isinstance(actor, APIKeyUser):
        return set()
    rows = (getattr(scope, rows).filter(**{holder: actor}).order_by() for rows, holder in HELD_BY)
    own, of_groups = (each.exclude(permissions=None).values_list("permissions", flat=True) for each in rows)
    return set(own.union(of_groups))


def is_project_admin(actor: Actor, project: Project) -> bool:
    return administered_projects(actor).filter(pk=project.pk).exists()


def has_project_permission(actor: Actor, project: Project, key: str) -> bool:
    """Whether the actor is an admin there or was given the key, and belongs to the organisation."""
    return permitted_projects(actor, key).filter(pk=project.pk).exists()


def is_environment_admin(actor: Actor, environment: Environment) -> bool:
    return administered_environments(actor).filter(pk=environment.pk).exists()


def has_environment_permission(actor: Actor, environment: Environment, key: str) -> bool:
    """Whether the actor, who sees the environment, is an admin there or was given the key."""
    return permitted_environments(actor, key).filter(pk=environment.pk).exists()


HELD_BY = (("userpermission", "user"), ("grouppermission", "group__users"))
"""The two tables of permissions, as relations of what they are for, and how their rows lead to a user."""


def _projects(user_id: Any, key: str | None = None) -> QuerySet[Project]:
    """Those of the organisations that the user is an admin of, and those granted in the ones they belong to."""
    of_admin = Q(organisation__in=PreparedSubquery(_organisations, user_id, OrganisationRole.ADMIN))
    of_member = Q(organisation__in=PreparedSubquery(_organisations, user_id))
    return Project.objects.filter(of_admin | (_granted(Project, user_id, key) & of_member))


def _in_projects(user_id: Any, key: str | None = None) -> Q:
    return Q(project__in=PreparedSubquery(_keys_of_projects, user_id, key))


def _granted(scope: type[Any], user_id: Any, key: str | None) -> Q:
    """Of these projects or environments, those where the user, or a group of theirs, is admin or has this key; without
    a key, where they are admin."""
    own, of_groups = (Q(pk__in=PreparedSubquery(_held, user_id, scope, *held, key)) for held in HELD_BY)
    return own | of_groups


# The functions below are compiled once, with a placeholder for the user's primary key.


def _organisations(user_id: Any, role: str | None = None) -> QuerySet[Any, Any]:
    member = UserOrganisation.objects.filter(user=user_id)
    return (member.filter(role=role) if role else member).values("organisation")


def _keys_of_projects(user_id: Any, key: str | None) -> QuerySet[Any, Any]:
    return _projects(user_id, key).values("pk")


def _held(user_id: Any, scope: type[Any], rows: str, holder: str, key: str | None) -> QuerySet[Any, Any]:
    enough = Q(**{f"{rows}__admin": True})
    if key is not None:
        enough |= Q(**{f"{rows}__permissions": key})
    return scope.objects.filter(enough, **{f"{rows}__{holder}": user_id}).values("pk")
