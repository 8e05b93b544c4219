"""Segments' overrides of a feature in an environment, and their order. Callers hold the environment's lock.

Priorities count from 0, and the lowest is the strongest. They stand in the environment document, so whoever moves an
override that has a state announces it; one without a state overrides nothing yet.
"""

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

from django.db.models import F, Max, QuerySet
from rest_framework.exceptions import ValidationError

from audit import bulk
from audit.recording import record
from environments.models import Environment
from features.feature_states.services import Columns, Shares, create_state, require_direct_writes
from features.models import Feature, FeatureSegment, FeatureState
from realtime import versions
from segments.models import Segment

# Leaves room below 32 bits for those that are pushed down.
MAX_PRIORITY = 1_000_000_000


def create_feature_segment(
    environment: Environment, feature: Feature, segment: Segment, priority: int | None = None
) -> FeatureSegment:
    """Where a segment's override goes: to this priority, pushing the others down if it is taken, or last."""
    others = _of(environment.pk, feature.pk)
    if priority is None:
        last = others.aggregate(last=Max("priority"))["last"]
        priority = 0 if last is None else last + 1
    elif others.filter(priority=priority).exists():
        _shift(others.filter(priority__gte=priority), 1)
    return FeatureSegment.objects.create(environment=environment, feature=feature, segment=segment, priority=priority)


def create_override(
    environment: Environment,
    feature: Feature,
    segment: Segment,
    *,
    priority: int | None = None,
    value: Columns | None = None,
    shares: Shares | None = None,
    **columns: Any,
) -> FeatureState:
    """An override in one step: its place and its state. Raises ValidationError if the segment has one already."""
    require_direct_writes(environment)
    if _live_states(_of(environment.pk, feature.pk).filter(segment=segment)).exists():
        raise ValidationError({"feature_segment": {"segment": ["This segment overrides the feature already."]}})
    feature_segment = create_feature_segment(environment, feature, segment, priority)
    return create_state(
        environment, feature=feature, feature_segment=feature_segment, value=value, shares=shares, **columns
    )


def change_segment(feature_segment: FeatureSegment, segment: Segment) -> FeatureSegment:
    """Let another segment have the override. No signal tells of it: this column is none of the watched ones."""
    if feature_segment.segment_id != segment.pk:
        _announce_if_live([feature_segment])
        feature_segment.segment = segment
        feature_segment.save(update_fields=["segment"])
    return feature_segment


def remove(feature_segment: FeatureSegment) -> None:
    """Remove an override with its state, and close the gap in the order."""
    others = _of(feature_segment.environment_id, feature_segment.feature_id)
    priority = feature_segment.priority
    feature_segment.delete()
    _shift(others.filter(priority__gt=priority), -1)


def reorder(environment: Environment, feature: Feature, wanted: Mapping[int, int]) -> list[FeatureSegment]:
    """Give these feature segments, by primary key, these priorities; the others keep their order around them.

    Of two that want one place, the earlier gets it. Returns those that were asked for, the strongest first.
    """
    present = list(_of(environment.pk, feature.pk).select_related("segment"))
    if any(each.priority != wanted.get(each.pk, each.priority) for each in present):
        places = _places([each.pk for each in present], wanted)
        moved = [each for each in present if each.priority != places[each.pk]]
        _announce_if_live(moved)
        before = [each.segment.name for each in present]
        for each in moved:
            each.priority = places[each.pk]
        FeatureSegment.objects.bulk_update(moved, ["priority"])
        after = [each.segment.name for each in sorted(present, key=lambda each: each.priority)]
        record(bulk.overrides_reordered(environment, feature, before, after))
    return sorted((each for each in present if each.pk in wanted), key=lambda each: each.priority)


def _places(present: list[int], wanted: Mapping[int, int]) -> dict[int, int]:
    """A place for each: the wanted one or the next that is free, and for the others, in order, those left over."""
    places: dict[int, int] = {}
    taken: set[int] = set()
    for pk in sorted(wanted, key=wanted.__getitem__):
        places[pk] = next(place for place in count(wanted[pk]) if place not in taken)
        taken.add(places[pk])
    free = (place for place in count() if place not in taken)
    return places | {pk: next(free) for pk in present if pk not in wanted}


def _of(environment: int, feature: int) -> QuerySet[FeatureSegment]:
    return FeatureSegment.objects.filter(environment=environment, feature=feature)


def _live_states(feature_segments: Iterable[FeatureSegment]) -> QuerySet[FeatureState]:
    return FeatureState.objects.filter(feature_segment__in=feature_segments, version__isnull=False)


def _shift(feature_segments: QuerySet[FeatureSegment], by: int) -> None:
    _announce_if_live(feature_segments)
    feature_segments.update(priority=F("priority") + by)


def _announce_if_live(feature_segments: Iterable[FeatureSegment]) -> None:
    """Say that the environment changes, if any of these (all of one environment) has a state."""
    state = _live_states(feature_segments).first()
    if state is not None:
        versions.announce([state.environment_id])
