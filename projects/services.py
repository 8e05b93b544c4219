"""What making, changing and deleting a project takes beyond one save."""

from typing import Any

from django.db import transaction

from core import removal
from core.locks import block_identity_writes
from organisations.access import Actor
from organisations.models import Organisation
from projects.models import Project, UserProjectPermission
from users.models import FFAdminUser


def create_project(actor: Actor, **fields: Any) -> Project:
    """A project whose creator is its admin. (A master API key is an admin of all projects anyway.)"""
    with transaction.atomic():
        project = Project.objects.create(**fields)
        if isinstance(actor, FFAdminUser):
            UserProjectPermission.objects.create(user=actor, project=project, admin=True)
    return project


def delete_project(project: Project) -> None:
    """Remove a project with everything in it, for which nobody has to be told: its environments' streams end."""
    with transaction.atomic():
        block_identity_writes(project.environments.values_list("pk", flat=True))
        removal.empty(Project.objects.filter(pk=project.pk))
        project.delete()


def plan_of(organisation: Organisation) -> str | None:
    """The plan that the organisation has subscribed to."""
    subscription = getattr(organisation, "subscription", None)
    return subscription.plan if subscription is not None else None
