"""Receiver of the signal of ``projects``."""

from typing import Any

from django.db.models import QuerySet

from core.removal import emptying
from projects.models import Project
from segments import trees
from segments.models import Segment


def projects(rows: QuerySet[Project], **kwargs: Any) -> None:
    """Receiver of ``core.removal.emptying``: removes the segments of the projects, whose overrides are gone already."""
    segments = Segment.objects.filter(project__in=rows.order_by().values("pk"))
    trees.clear(segments.order_by())
    segments._raw_delete(segments.db)


def connect() -> None:
    emptying.connect(projects, sender=Project, dispatch_uid="segments:projects")
