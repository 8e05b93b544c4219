"""What making, changing and deleting a project takes beyond one save."""

from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from core import removal
from core.locks import keep_out_identities
from organisations.access import Actor
from organisations.models import Organisation
from projects.models import Project, UserProjectPermission
from realtime.changes import versions
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
        keep_out_identities(project.environments.values_list("pk", flat=True))
        removal.empty(Project.objects.filter(pk=project.pk))
        project.delete()


def empty_organisations(organisations: QuerySet[Organisation]) -> None:
    """Remove what belongs to the projects of organisations that are about to be deleted.

    Locks first, in everybody's order (core/locks.py): whoever writes to one of the environments finishes before, or
    finds it gone.
    """
    projects = Project.objects.filter(organisation__in=organisations.order_by().values("pk"))
    list(projects.order_by("pk").select_for_update(no_key=True).values_list("pk"))
    environments = projects.filter(environments__isnull=False).order_by().values_list("environments", flat=True)
    versions.lock(environments)
    keep_out_identities(environments)
    removal.empty(projects)


def plan_of(organisation: Organisation) -> str | None:
    """The plan that the organisation has subscribed to."""
    subscription = getattr(organisation, "subscription", None)
    return subscription.plan if subscription is not None else None
