"""Change requests of a project: they change its segments, and go live when they are committed.

Callers hold the project's lock.
"""

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.utils import timezone

from features.models import Feature
from features.workflows.core.errors import Refused
from features.workflows.core.models import ChangeRequest, SegmentChange
from features.workflows.core.services import COMMITTED, LIVE, NOT_APPROVED, ask, check_rewriting, person, save
from organisations.access import Actor
from projects.models import Project
from segments import trees
from segments.models import Segment
from segments.services import SegmentUpdate, update_segments
from segments.trees import RuleData
from users.models import FFAdminUser


class SegmentWish(NamedTuple):
    """What somebody wants a segment to become."""

    segment: Segment
    name: str
    description: str | None
    feature_id: int | None
    rules: list[RuleData]


def create_change_request(
    project: Project, author: Actor, *, wishes: list[SegmentWish], reviewers: Iterable[FFAdminUser] = (), **columns: Any
) -> ChangeRequest:
    """A draft: nothing of it shows in the segments."""
    request = ChangeRequest(project=project, user=person(author), **columns)
    request.save()
    _write(request, wishes)
    ask(request, reviewers)
    return request


def update_change_request(
    request: ChangeRequest,
    editor: Actor,
    *,
    wishes: list[SegmentWish] | None = None,
    reviewers: Iterable[FFAdminUser] | None = None,
    **columns: Any,
) -> ChangeRequest:
    """Set these columns, and replace what is to be changed and the reviewers where they are not None."""
    if wishes is not None and _differ(request, wishes):
        check_rewriting(request, editor)
        _write(request, wishes)
    save(request, columns, reviewers)
    return request


def commit(request: ChangeRequest, actor: Actor) -> None:
    """Make the segments what the request says, all of them or none."""
    if request.is_committed:
        raise Refused(COMMITTED)
    if not request.is_approved:
        raise Refused(NOT_APPROVED)
    changes = list(request.segment_changes.all())
    segments = trees.with_trees(request.project.segments.all()).in_bulk([change.segment_id for change in changes])
    _check(request, changes, segments)
    update_segments(
        SegmentUpdate(
            segments[change.segment_id or 0], change.name, change.description, change.feature_id, change.rules
        )
        for change in changes
    )
    request.committed_at = request.applied_at = timezone.now()
    request.committed_by = person(actor)
    request.save(update_fields=["committed_at", "committed_by", "applied_at", "updated_at"])


def delete_change_request(request: ChangeRequest) -> None:
    if request.is_committed:
        raise Refused(LIVE)
    request.delete()


def _check(request: ChangeRequest, changes: list[SegmentChange], segments: dict[int, Segment]) -> None:
    features = {change.feature_id for change in changes if change.feature_id is not None}
    known = set(Feature.objects.filter(project=request.project, pk__in=features).values_list("pk", flat=True))
    for change in changes:
        if change.segment_id not in segments:
            raise Refused(f"The segment {change.segment_name} no longer exists.")
        if change.feature_id is not None and change.feature_id not in known:
            raise Refused(f"The feature that the segment {change.name} is for no longer exists.")


def _differ(request: ChangeRequest, wishes: list[SegmentWish]) -> bool:
    stored = [
        (change.segment_id, change.name, change.description, change.feature_id, change.rules)
        for change in request.segment_changes.all()
    ]
    return stored != [(wish.segment.pk, *wish[1:4], trees.complete(wish.rules)) for wish in wishes]


def _write(request: ChangeRequest, wishes: list[SegmentWish]) -> None:
    SegmentChange.objects.filter(change_request=request).delete()
    SegmentChange.objects.bulk_create(
        SegmentChange(
            change_request=request,
            segment=wish.segment,
            segment_name=wish.segment.name,
            name=wish.name,
            description=wish.description,
            feature_id=wish.feature_id,
            rules=trees.complete(wish.rules),
        )
        for wish in wishes
    )
