"""Query sets of the environments that an actor may see, and checks of the actor's permissions in them."""

from django.db.models import QuerySet

from api_keys.actor import APIKeyUser
from environments.models import Environment
from organisations.access import Actor, granted
from projects.access import in_projects, visible_projects


def visible_environments(actor: Actor) -> QuerySet[Environment]:
    """The environments that the actor may see, in projects that they may see."""
    visible = permitted_environments(actor, "VIEW_ENVIRONMENT")
    return visible if isinstance(actor, APIKeyUser) else visible.filter(in_projects(actor.pk, "VIEW_PROJECT"))


def administered_environments(actor: Actor) -> QuerySet[Environment]:
    """The environments that the actor is an admin of, by the organisation, the project or the environment itself."""
    return permitted_environments(actor)


def permitted_environments(actor: Actor, key: str | None = None) -> QuerySet[Environment]:
    """The environments where the actor is an admin or has the permission ``key``. The actor may not see all of them."""
    if isinstance(actor, APIKeyUser):
        return Environment.objects.filter(project__in=visible_projects(actor).values("pk"))
    return Environment.objects.filter(in_projects(actor.pk) | granted(Environment, actor.pk, key))


def is_environment_admin(actor: Actor, environment: Environment) -> bool:
    return administered_environments(actor).filter(pk=environment.pk).exists()


def has_environment_permission(actor: Actor, environment: Environment, key: str) -> bool:
    """True if the actor, who may see the environment, is an admin there or has the permission ``key``."""
    return permitted_environments(actor, key).filter(pk=environment.pk).exists()
