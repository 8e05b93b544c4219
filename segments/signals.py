"""Receiver of ``core.removal.emptying`` for projects."""

from typing import Any

from django.db.models import QuerySet

from core.removal import emptying
from projects.models import Project
from segments import trees
from segments.models import Segment


def empty_projects(rows: QuerySet[Project], **kwargs: Any) -> None:
    """Remove the segments of deleted projects. Their overrides were removed before."""
    segments = Segment.objects.filter(project__in=rows.order_by().values("pk"))
    trees.clear(segments.order_by())
    segments._raw_delete(segments.db)


def connect() -> None:
    emptying.connect(empty_projects, sender=Project, dispatch_uid="segments:projects")
