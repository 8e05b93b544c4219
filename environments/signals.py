"""Receivers of the signals of ``organisations`` and ``projects``."""

from typing import Any

from django.db.models import QuerySet

from core.removal import emptying
from environments.models import Environment, UserEnvironmentPermission
from environments.services import empty
from organisations.models import Organisation
from organisations.services import removing_members
from projects.models import Project


def empty_projects(rows: QuerySet[Project], **kwargs: Any) -> None:
    """Receiver of ``core.removal.emptying``."""
    empty(Environment.objects.filter(project__in=rows.order_by().values("pk")))


def delete_permissions(organisation: Organisation, user_ids: list[int], **kwargs: Any) -> None:
    """Receiver of ``organisations.services.removing_members``."""
    permissions = UserEnvironmentPermission.objects.filter(environment__project__organisation=organisation)
    permissions.filter(user__in=user_ids).delete()


def connect() -> None:
    emptying.connect(empty_projects, sender=Project, dispatch_uid="environments:empty_projects")
    removing_members.connect(delete_permissions, dispatch_uid="environments:delete_permissions")
