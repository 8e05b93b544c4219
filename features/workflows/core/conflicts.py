"""Finds conflicts of change requests: targets that another request has changed since this one was created."""

from typing import Any

from features.workflows.core.change_sets import segment_ids
from features.workflows.core.models import ChangeRequest, ChangeSet, PlannedChange, SegmentChange

Target = tuple[int, int | None]
"""A feature, and the segment of an override or None for the environment default."""


def find_conflicts(request: ChangeRequest) -> list[dict[str, Any]]:
    """Changes of the request's unpublished targets by other requests, newest first. A conflict is only a warning."""
    targets = {target for change in request.all_changes if change.live_at is None for target in _targets(change)}
    if not targets:
        return []
    others = {
        "change_request__environment": request.environment_id,
        "feature_id__in": {feature for feature, _ in targets},
        "live_at__gte": request.created_at,
    }
    changes: list[PlannedChange | ChangeSet] = [
        *PlannedChange.objects.filter(**others).exclude(change_request=request).order_by("-pk").defer("content")
    ]
    # Change sets have overrides only.
    if any(segment is not None for _, segment in targets):
        changes += ChangeSet.objects.filter(**others).exclude(change_request=request).order_by("-pk")
    changes.sort(key=lambda change: change.live_at or request.created_at, reverse=True)
    # A request can change the state of an override and also order it.
    found = dict.fromkeys(
        (change.change_request_id, segment, change.live_at)
        for change in changes
        for feature, segment in _targets(change)
        if (feature, segment) in targets
    )
    return [
        {
            "original_cr_id": other,
            "segment_id": segment,
            "is_environment_default": segment is None,
            "published_at": live_at,
        }
        for other, segment, live_at in found
    ]


def _targets(change: PlannedChange | ChangeSet) -> list[Target]:
    """The target of a state, or the overrides that a change set removes or orders."""
    if isinstance(change, PlannedChange):
        return [(change.feature_id, change.segment_id)]
    return [(change.feature_id, segment) for segment in segment_ids([*change.removed, *change.order])]


def find_segment_conflicts(request: ChangeRequest) -> list[dict[str, Any]]:
    """Changes of the segments of a project's request by other requests, newest first."""
    if request.is_committed:
        return []
    segments = {change.segment_id for change in request.segment_changes.all() if change.segment_id is not None}
    others = SegmentChange.objects.filter(segment__in=segments, change_request__applied_at__gte=request.created_at)
    others = others.exclude(change_request=request).select_related("change_request")
    return [
        {
            "original_cr_id": other.change_request_id,
            "segment_id": other.segment_id,
            "is_environment_default": False,
            "published_at": other.change_request.applied_at,
        }
        for other in others.order_by("-change_request__applied_at", "-pk")
    ]
