"""Removals and orders of segment overrides in a change request, in the format of Flagsmith's change sets.

States are in the request's ``feature_states``. Callers hold the environment's lock.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from rest_framework.fields import DateTimeField

from core import actor
from features.feature_segments.services import (
    live_feature_segments,
    read_feature_segments,
    remove_feature_segments,
    set_priorities,
)
from features.models import Feature
from features.workflows.core.models import ChangeRequest, ChangeSet
from segments.models import Segment

NamedSegment = dict[str, Any]
"""A segment as it is stored in a change set: ``id`` and ``name``."""


class RequestedSet(NamedTuple):
    """The requested removals and order of one feature's overrides."""

    feature: Feature
    removed: list[NamedSegment]
    order: list[NamedSegment]
    """The segments in their new order, the first takes precedence. Overrides of others follow, in their order."""

    live_from: datetime | None = None


def write_change_sets(request: ChangeRequest, requested: Iterable[RequestedSet]) -> None:
    """Replace the change sets of a request of which nothing is live."""
    ChangeSet.objects.filter(change_request=request).delete()
    ChangeSet.objects.bulk_create(
        ChangeSet(
            change_request=request,
            feature_id=each.feature.pk,
            feature_name=each.feature.name,
            removed=each.removed,
            order=each.order,
            live_from=each.live_from,
        )
        for each in requested
    )


def change_sets_differ(request: ChangeRequest, requested: Iterable[RequestedSet]) -> bool:
    """Whether the requested change sets differ from the stored ones. Names are not compared, since they can change."""
    stored = [
        (each.feature_id, segment_ids(each.removed), segment_ids(each.order), each.live_from)
        for each in request.change_sets.all()
    ]
    return stored != [
        (each.feature.pk, segment_ids(each.removed), segment_ids(each.order), each.live_from) for each in requested
    ]


def apply_change_sets(request: ChangeRequest, due: list[ChangeSet], now: datetime) -> None:
    """Remove and reorder overrides. One that is gone already needs no removal, and has no place in the order."""
    features = Feature.objects.select_related("project").in_bulk([each.feature_id for each in due])
    environment = request.environment
    assert environment is not None
    with actor.system(request):
        for each in due:
            feature = features[each.feature_id]
            live = live_feature_segments(environment.pk, feature.pk)
            remove_feature_segments(live.filter(segment__in=segment_ids(each.removed)))
            if each.order:
                places = {segment: place for place, segment in enumerate(segment_ids(each.order))}
                stored = read_feature_segments(environment, feature)
                ordered = sorted(stored, key=lambda override: places.get(override.segment_id, len(places)))
                set_priorities(environment, feature, stored, {each.pk: place for place, each in enumerate(ordered)})
            each.live_at = now
    ChangeSet.objects.bulk_update(due, ["live_at"])


def change_set_json(change_set: ChangeSet) -> dict[str, Any]:
    """A change set as JSON of the API."""
    live_from = change_set.live_from
    return {
        "feature": change_set.feature_id,
        "feature_states_to_create": [],
        "feature_states_to_update": [
            {"feature_segment": {"segment": segment, "priority": place}}
            for place, segment in enumerate(segment_ids(change_set.order))
        ],
        "segment_ids_to_delete_overrides": segment_ids(change_set.removed),
        "live_from": DateTimeField().to_representation(live_from) if live_from is not None else None,
    }


def named(segment: Segment) -> NamedSegment:
    return {"id": segment.pk, "name": segment.name}


def segment_ids(segments: Iterable[NamedSegment]) -> list[int]:
    return [each["id"] for each in segments]
