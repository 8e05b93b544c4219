"""Change requests of a project, which change its segments when they are committed. Callers hold the project's lock."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from django.utils import timezone

from features.models import Feature
from features.workflows.core.errors import ChangeRequestError
from features.workflows.core.models import ChangeRequest, SegmentChange
from features.workflows.core.services import (
    ALREADY_COMMITTED,
    NOT_APPROVED,
    PUBLISHED,
    check_editable,
    save_columns,
    set_reviewers,
    user_of,
)
from organisations.access import Actor
from projects.models import Project
from segments import trees
from segments.models import Segment
from segments.services import SegmentUpdate, update_segments
from segments.trees import RuleData
from users.models import FFAdminUser


class RequestedSegment(NamedTuple):
    """The requested columns and rules of a segment."""

    segment: Segment
    name: str
    description: str | None
    feature_id: int | None
    rules: list[RuleData]


def create_change_request(
    project: Project,
    author: Actor,
    *,
    requested: list[RequestedSegment],
    reviewers: Iterable[FFAdminUser] = (),
    **columns: Any,
) -> ChangeRequest:
    """Create a change request. The segments are unchanged until it is committed."""
    request = ChangeRequest(project=project, user=user_of(author), **columns)
    request.save()
    _write_segment_changes(request, requested)
    set_reviewers(request, reviewers)
    return request


def update_change_request(
    request: ChangeRequest,
    editor: Actor,
    *,
    requested: list[RequestedSegment] | None = None,
    reviewers: Iterable[FFAdminUser] | None = None,
    **columns: Any,
) -> ChangeRequest:
    """Set columns. Requested segments and reviewers are replaced unless they are None."""
    if requested is not None and _differ(request, requested):
        check_editable(request, editor)
        _write_segment_changes(request, requested)
    save_columns(request, columns, reviewers)
    return request


def commit(request: ChangeRequest, actor: Actor) -> None:
    """Apply the request to its segments: to all of them or to none."""
    if request.is_committed:
        raise ChangeRequestError(ALREADY_COMMITTED)
    if not request.is_approved:
        raise ChangeRequestError(NOT_APPROVED)
    changes = list(request.segment_changes.all())
    segments = trees.with_trees(request.project.segments.all()).in_bulk([change.segment_id for change in changes])
    _check_references(request, changes, segments)
    update_segments(
        SegmentUpdate(
            segments[change.segment_id or 0], change.name, change.description, change.feature_id, change.rules
        )
        for change in changes
    )
    request.committed_at = request.applied_at = timezone.now()
    request.committed_by = user_of(actor)
    request.save(update_fields=["committed_at", "committed_by", "applied_at", "updated_at"])


def delete_change_request(request: ChangeRequest) -> None:
    if request.is_committed:
        raise ChangeRequestError(PUBLISHED)
    request.delete()


def _check_references(request: ChangeRequest, changes: list[SegmentChange], segments: dict[int, Segment]) -> None:
    features = {change.feature_id for change in changes if change.feature_id is not None}
    existing = set(Feature.objects.filter(project=request.project, pk__in=features).values_list("pk", flat=True))
    for change in changes:
        if change.segment_id not in segments:
            raise ChangeRequestError(f"The segment {change.segment_name} no longer exists.")
        if change.feature_id is not None and change.feature_id not in existing:
            raise ChangeRequestError(f"The feature that the segment {change.name} is for no longer exists.")


def _differ(request: ChangeRequest, requested: list[RequestedSegment]) -> bool:
    stored = [
        (change.segment_id, change.name, change.description, change.feature_id, change.rules)
        for change in request.segment_changes.all()
    ]
    return stored != [(each.segment.pk, *each[1:4], trees.with_missing_fields(each.rules)) for each in requested]


def _write_segment_changes(request: ChangeRequest, requested: list[RequestedSegment]) -> None:
    SegmentChange.objects.filter(change_request=request).delete()
    SegmentChange.objects.bulk_create(
        SegmentChange(
            change_request=request,
            segment=each.segment,
            segment_name=each.segment.name,
            name=each.name,
            description=each.description,
            feature_id=each.feature_id,
            rules=trees.with_missing_fields(each.rules),
        )
        for each in requested
    )
