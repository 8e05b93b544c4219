"""What making, changing and deleting a project takes beyond one save."""

from typing import Any

from django.db import transaction

from organisations.models import Organisation
from permissions.access import Actor
from projects.models import Project, UserProjectPermission
from users.models import FFAdminUser


def create_project(actor: Actor, **fields: Any) -> Project:
    """A project whose creator is its admin. (A master API key is an admin of all projects anyway.)"""
    with transaction.atomic():
        project = Project.objects.create(**fields)
        if isinstance(actor, FFAdminUser):
            UserProjectPermission.objects.create(user=actor, project=project, admin=True)
    return project


def plan_of(organisation: Organisation) -> str | None:
    """The plan that the organisation has subscribed to."""
    subscription = getattr(organisation, "subscription", None)
    return subscription.plan if subscription is not None else None
