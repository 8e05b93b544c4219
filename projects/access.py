"""The projects that an actor sees, and the actor's rights in them."""

from typing import Any

from django.db.models import Q, QuerySet

from api_keys.actor import APIKeyUser
from organisations.access import Actor, granted, member_organisations
from organisations.models import OrganisationRole, UserOrganisation
from projects.models import Project
from realtime.prepared import PreparedSubquery
from users.models import FFAdminUser, UserPermissionGroupMembership


def visible_projects(actor: Actor) -> QuerySet[Project]:
    """The projects that the actor may see: all of an admin's organisations, otherwise those with VIEW_PROJECT."""
    return permitted_projects(actor, "VIEW_PROJECT")


def administered_projects(actor: Actor) -> QuerySet[Project]:
    """The projects that the actor is an admin of, by the organisation's role or by the project's own permission."""
    return permitted_projects(actor)


def permitted_projects(actor: Actor, key: str | None = None) -> QuerySet[Project]:
    """The projects of the actor's organisations where they are an admin or were given the key."""
    if isinstance(actor, APIKeyUser):
        return Project.objects.filter(organisation_id=actor.organisation_id)
    return _projects(actor.pk, key)


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


def is_project_admin(actor: Actor, project: Project) -> bool:
    return administered_projects(actor).filter(pk=project.pk).exists()


def has_project_permission(actor: Actor, project: Project, key: str) -> bool:
    """Whether the actor is an admin there or was given the key, and belongs to the organisation."""
    return permitted_projects(actor, key).filter(pk=project.pk).exists()


def _projects(user_id: Any, key: str | None = None) -> QuerySet[Project]:
    """Those of the organisations that the user is an admin of, and those granted in the ones they belong to."""
    of_admin = Q(organisation__in=PreparedSubquery(member_organisations, user_id, OrganisationRole.ADMIN))
    of_member = Q(organisation__in=PreparedSubquery(member_organisations, user_id))
    return Project.objects.filter(of_admin | (granted(Project, user_id, key) & of_member))


def in_projects(user_id: Any, key: str | None = None) -> Q:
    """The environments in the projects where the user is an admin or was given the key."""
    return Q(project__in=PreparedSubquery(_keys_of_projects, user_id, key))


def _keys_of_projects(user_id: Any, key: str | None) -> QuerySet[Any, Any]:
    return _projects(user_id, key).values("pk")
