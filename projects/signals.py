"""Receivers of the signals of ``organisations``."""

from typing import Any

from django.db.models import QuerySet

from core.removal import emptying
from organisations.models import Organisation
from organisations.services import removing_members
from projects.models import UserProjectPermission
from projects.services import empty_organisations


def organisations(rows: QuerySet[Organisation], **kwargs: Any) -> None:
    """Receiver of ``core.removal.emptying``."""
    empty_organisations(rows)


def members(organisation: Organisation, user_ids: list[int], **kwargs: Any) -> None:
    """Receiver of ``organisations.services.removing_members``."""
    UserProjectPermission.objects.filter(project__organisation=organisation, user__in=user_ids).delete()


def connect() -> None:
    emptying.connect(organisations, sender=Organisation, dispatch_uid="projects:organisations")
    removing_members.connect(members, dispatch_uid="projects:members")
