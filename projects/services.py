"""Creation and deletion of projects, and the plan of an organisation."""

from typing import Any

from django.db import transaction

from core import removal
from core.locks import block_identity_writes
from organisations.access import Actor
from organisations.models import Organisation
from projects.models import Project, UserProjectPermission
from users.models import FFAdminUser


def create_project(actor: Actor, **fields: Any) -> Project:
    """Create a project and make the user its admin. (A master API key is an admin of all projects.)"""
    with transaction.atomic():
        project = Project.objects.create(**fields)
        if isinstance(actor, FFAdminUser):
            UserProjectPermission.objects.create(user=actor, project=project, admin=True)
    return project


def delete_project(project: Project) -> None:
    """Delete a project with everything in it. The contents need no event, since its environments' streams end."""
    with transaction.atomic():
        block_identity_writes(project.environments.values_list("pk", flat=True))
        removal.empty(Project.objects.filter(pk=project.pk))
        project.delete()


def plan_of(organisation: Organisation) -> str | None:
    """The organisation's plan; None if it has no subscription."""
    subscription = getattr(organisation, "subscription", None)
    return subscription.plan if subscription is not None else None
