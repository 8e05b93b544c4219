"""Query sets of the projects that an actor may see, and checks of the actor's permissions in them."""

from typing import Any

from django.db.models import Q, QuerySet

from api_keys.actor import APIKeyUser
from organisations.access import Actor, granted, member_organisations
from organisations.models import OrganisationRole, UserOrganisation
from projects.models import Project
from realtime.prepared import PreparedSubquery
from users.models import FFAdminUser, UserPermissionGroupMembership


def visible_projects(actor: Actor) -> QuerySet[Project]:
    """The projects that the actor may see: as an admin, or with VIEW_PROJECT."""
    return permitted_projects(actor, "VIEW_PROJECT")


def administered_projects(actor: Actor) -> QuerySet[Project]:
    """The projects that the actor is an admin of, by the role in the organisation or by the project's permission."""
    return permitted_projects(actor)


def permitted_projects(actor: Actor, key: str | None = None) -> QuerySet[Project]:
    """The projects of the actor's organisations where the actor is an admin or has the permission ``key``."""
    if isinstance(actor, APIKeyUser):
        return Project.objects.filter(organisation_id=actor.organisation_id)
    return _projects(actor.pk, key)


def viewers(project: Project) -> QuerySet[FFAdminUser]:
    """The users who may see the project."""
    can_view = Q(admin=True) | Q(permissions="VIEW_PROJECT")
    users = project.userpermission.filter(can_view).values("user")
    groups = project.grouppermission.filter(can_view).values("group")
    memberships = UserPermissionGroupMembership.objects.filter(userpermissiongroup__in=groups)
    members = UserOrganisation.objects.filter(
        Q(role=OrganisationRole.ADMIN) | Q(user__in=users) | Q(user__in=memberships.values("ffadminuser")),
        organisation=project.organisation_id,
    )
    return FFAdminUser.objects.filter(pk__in=members.values("user"))


def is_project_admin(actor: Actor, project: Project) -> bool:
    return administered_projects(actor).filter(pk=project.pk).exists()


def has_project_permission(actor: Actor, project: Project, key: str) -> bool:
    """True if the actor belongs to the organisation, and is an admin of the project or has the permission ``key``."""
    return permitted_projects(actor, key).filter(pk=project.pk).exists()


def _projects(user_id: Any, key: str | None = None) -> QuerySet[Project]:
    """The projects of organisations where the user is an admin, and those granted in the user's organisations."""
    of_admin = Q(organisation__in=PreparedSubquery(member_organisations, user_id, OrganisationRole.ADMIN))
    of_member = Q(organisation__in=PreparedSubquery(member_organisations, user_id))
    return Project.objects.filter(of_admin | (granted(Project, user_id, key) & of_member))


def in_projects(user_id: Any, key: str | None = None) -> Q:
    """A condition on environments: in their project the user is an admin or has the permission ``key``."""
    return Q(project__in=PreparedSubquery(_project_ids, user_id, key))


def _project_ids(user_id: Any, key: str | None) -> QuerySet[Any, Any]:
    return _projects(user_id, key).values("pk")
