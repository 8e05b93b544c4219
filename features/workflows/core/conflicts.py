"""Finds conflicts of change requests: targets that another request has changed since this one was created."""

from typing import Any

from features.workflows.core.models import ChangeRequest, PlannedChange, SegmentChange


def find_conflicts(request: ChangeRequest) -> list[dict[str, Any]]:
    """Changes of the request's unpublished targets by other requests, newest first. A conflict is only a warning."""
    targets = {(change.feature_id, change.segment_id) for change in request.changes.all() if change.live_at is None}
    if not targets:
        return []
    others = PlannedChange.objects.filter(
        change_request__environment=request.environment_id,
        feature_id__in={feature for feature, _ in targets},
        live_at__gte=request.created_at,
    ).exclude(change_request=request)
    return [
        {
            "original_cr_id": other.change_request_id,
            "segment_id": other.segment_id,
            "is_environment_default": other.segment_id is None,
            "published_at": other.live_at,
        }
        for other in others.order_by("-live_at", "-pk").defer("content")
        if (other.feature_id, other.segment_id) in targets
    ]


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
