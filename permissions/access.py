"""Who sees and may do what. Every view's queries start here, so that nobody reaches another tenant's objects.

An actor is whoever calls the Admin API: a user (``FFAdminUser``) or a master API key (``APIKeyUser``), which acts as
an admin of its organisation.
"""

from django.db.models import Q, QuerySet

from api_keys.actor import APIKeyUser
from environments.models import Environment
from organisations.models import Organisation, OrganisationRole, UserOrganisation
from projects.models import Project
from users.models import FFAdminUser

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
    admin = UserOrganisation.objects.filter(user=actor, role=OrganisationRole.ADMIN)
    return Organisation.objects.filter(pk__in=admin.values("organisation"))


def visible_projects(actor: Actor) -> QuerySet[Project]:
    """The projects that the actor may see: all of an admin's organisations, otherwise those with VIEW_PROJECT."""
    if isinstance(actor, APIKeyUser):
        return Project.objects.filter(organisation_id=actor.organisation_id)
    granted = Project.objects.filter(
        Q(userpermission__admin=True) | Q(userpermission__permissions="VIEW_PROJECT"), userpermission__user=actor
    )
    member = UserOrganisation.objects.filter(user=actor)
    return Project.objects.filter(
        Q(organisation__in=member.filter(role=OrganisationRole.ADMIN).values("organisation"))
        | Q(pk__in=granted.values("pk"), organisation__in=member.values("organisation"))
    )


def visible_environments(actor: Actor) -> QuerySet[Environment]:
    """The environments that the actor may see, in projects that they may see."""
    visible = Environment.objects.filter(project__in=visible_projects(actor).values("pk"))
    if isinstance(actor, APIKeyUser):
        return visible
    granted = Environment.objects.filter(
        Q(userpermission__admin=True) | Q(userpermission__permissions="VIEW_ENVIRONMENT"), userpermission__user=actor
    )
    return visible.filter(Q(project__in=administered_projects(actor).values("pk")) | Q(pk__in=granted.values("pk")))


def administered_projects(actor: Actor) -> QuerySet[Project]:
    """The projects that the actor is an admin of, by the organisation's role or by the project's own permission."""
    if isinstance(actor, APIKeyUser):
        return visible_projects(actor)
    member = UserOrganisation.objects.filter(user=actor)
    granted = Project.objects.filter(userpermission__admin=True, userpermission__user=actor)
    return Project.objects.filter(
        Q(organisation__in=member.filter(role=OrganisationRole.ADMIN).values("organisation"))
        | Q(pk__in=granted.values("pk"), organisation__in=member.values("organisation"))
    )


def is_organisation_admin(actor: Actor, organisation: Organisation) -> bool:
    if isinstance(actor, APIKeyUser):
        return actor.organisation_id == organisation.pk
    return UserOrganisation.objects.filter(user=actor, organisation=organisation, role=OrganisationRole.ADMIN).exists()


def organisation_permissions(actor: Actor, organisation: Organisation) -> set[str]:
    """The keys given to the actor in the organisation; an admin needs none."""
    if isinstance(actor, APIKeyUser):
        return set()
    granted = organisation.userpermission.filter(user=actor)
    return set(granted.exclude(permissions=None).values_list("permissions", flat=True))


def has_organisation_permission(actor: Actor, organisation: Organisation, key: str) -> bool:
    return is_organisation_admin(actor, organisation) or key in organisation_permissions(actor, organisation)


def may_create_project(actor: Actor, organisation: Organisation) -> bool:
    """An admin may; others with CREATE_PROJECT, unless the organisation leaves it to admins."""
    if organisation.restrict_project_create_to_admin:
        return is_organisation_admin(actor, organisation)
    return has_organisation_permission(actor, organisation, "CREATE_PROJECT")


def is_project_admin(actor: Actor, project: Project) -> bool:
    return administered_projects(actor).filter(pk=project.pk).exists()


def project_permissions(actor: Actor, project: Project) -> set[str]:
    """The keys given to the actor in the project; an admin needs none."""
    if isinstance(actor, APIKeyUser):
        return set()
    granted = project.userpermission.filter(user=actor)
    return set(granted.exclude(permissions=None).values_list("permissions", flat=True))


def has_project_permission(actor: Actor, project: Project, key: str) -> bool:
    return is_project_admin(actor, project) or key in project_permissions(actor, project)


def is_environment_admin(actor: Actor, environment: Environment) -> bool:
    if is_project_admin(actor, environment.project):
        return True
    return not isinstance(actor, APIKeyUser) and environment.userpermission.filter(user=actor, admin=True).exists()


def environment_permissions(actor: Actor, environment: Environment) -> set[str]:
    """The keys given to the actor in the environment; an admin needs none."""
    if isinstance(actor, APIKeyUser):
        return set()
    granted = environment.userpermission.filter(user=actor)
    return set(granted.exclude(permissions=None).values_list("permissions", flat=True))


def has_environment_permission(actor: Actor, environment: Environment, key: str) -> bool:
    return is_environment_admin(actor, environment) or key in environment_permissions(actor, environment)
