"""Receivers of the signals of ``organisations``."""

from typing import Any

from django.db.models import QuerySet

from core.locks import block_identity_writes
from core.removal import empty, emptying
from organisations.models import Organisation
from organisations.services import removing_members
from projects.models import Project, UserProjectPermission
from realtime.changes import versions


def empty_organisations(rows: QuerySet[Organisation], **kwargs: Any) -> None:
    """Receiver of ``core.removal.emptying``: deletes the contents of the organisations' projects.

    It first takes the locks in their common order (core/locks.py), so that a concurrent write to one of the
    environments either ends before the deletion or does not find the environment.
    """
    projects = Project.objects.filter(organisation__in=rows.order_by().values("pk"))
    list(projects.order_by("pk").select_for_update(no_key=True).values_list("pk"))
    environments = projects.filter(environments__isnull=False).order_by().values_list("environments", flat=True)
    versions.lock(environments)
    block_identity_writes(environments)
    empty(projects)


def delete_permissions(organisation: Organisation, user_ids: list[int], **kwargs: Any) -> None:
    """Receiver of ``organisations.services.removing_members``."""
    UserProjectPermission.objects.filter(project__organisation=organisation, user__in=user_ids).delete()


def connect() -> None:
    emptying.connect(empty_organisations, sender=Organisation, dispatch_uid="projects:empty_organisations")
    removing_members.connect(delete_permissions, dispatch_uid="projects:delete_permissions")
