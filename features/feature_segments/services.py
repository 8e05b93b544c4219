"""Segments' overrides of a feature in an environment, and their order. Callers hold the environment's lock.

Priorities count from 0, and the lowest is the strongest. They stand in the environment document, so whoever moves an
override that has a state announces it; one without a state overrides nothing yet.
"""

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

from django.db.models import F, Max, QuerySet
from rest_framework.exceptions import ValidationError

from core.changes import report
from environments.models import Environment
from features.changes import AboutToChangeStates, AboutToDeleteOverrides, OverridesReordered, Place
from features.feature_states.services import Columns, Shares, create_state, remove_states, require_direct_writes
from features.models import Feature, FeatureSegment, FeatureState
from realtime.changes import versions
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


def remove(feature_segments: Iterable[FeatureSegment]) -> None:
    """Remove overrides of one feature in one environment with their states, and close the gaps in the order.

    Raw, as each row's signal would look the others up: a constant number of queries.
    """
    gone = list(feature_segments)
    if not gone:
        return
    pks = [each.pk for each in gone]
    report(AboutToChangeStates(Place(each.environment_id, each.feature_id, each.pk) for each in gone))
    _announce_if_live(gone)
    overrides = FeatureSegment.objects.filter(pk__in=pks)
    report(AboutToDeleteOverrides(overrides.select_related("feature__project", "segment")))
    remove_states(FeatureState.objects.filter(feature_segment__in=pks))
    overrides._raw_delete(overrides.db)
    others = list(_of(gone[0].environment_id, gone[0].feature_id))
    steps = {each.pk: sum(one.priority < each.priority for one in gone) for each in others}
    _move([each for each in others if steps[each.pk]], {pk: -step for pk, step in steps.items()})


def read(environment: Environment, feature: Feature) -> list[FeatureSegment]:
    """Where the segments' overrides of a feature are, the strongest first, with their segments."""
    return list(_of(environment.pk, feature.pk).select_related("segment"))


def add(environment: Environment, feature: Feature, priorities: Mapping[int, int]) -> list[FeatureSegment]:
    """Places for the overrides of these segments, by primary key, at these priorities, which must be free.

    Nothing hears of them: they override nothing yet.
    """
    return FeatureSegment.objects.bulk_create(
        FeatureSegment(environment=environment, feature=feature, segment_id=segment, priority=priority)
        for segment, priority in priorities.items()
    )


def reorder(environment: Environment, feature: Feature, wanted: Mapping[int, int]) -> list[FeatureSegment]:
    """Give these feature segments, by primary key, these priorities; the others keep their order around them.

    Of two that want one place, the earlier gets it. Returns those that were asked for, the strongest first.
    """
    present = read(environment, feature)
    if any(each.priority != wanted.get(each.pk, each.priority) for each in present):
        prioritise(environment, feature, present, _places([each.pk for each in present], wanted))
    return sorted((each for each in present if each.pk in wanted), key=lambda each: each.priority)


def prioritise(
    environment: Environment, feature: Feature, present: list[FeatureSegment], priorities: Mapping[int, int]
) -> None:
    """Give a feature's overrides in an environment, all of them and in order, the priorities that these name.

    An override that is not named stays where it is. Best of feature segments that were read with their segments.
    """
    moved = [each for each in present if priorities.get(each.pk, each.priority) != each.priority]
    if not moved:
        return
    before = [each.segment.name for each in present]
    _move(moved, {each.pk: priorities[each.pk] - each.priority for each in moved})
    after = [each.segment.name for each in sorted(present, key=lambda each: each.priority)]
    report(OverridesReordered(environment, feature, before, after))


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


def _move(feature_segments: list[FeatureSegment], steps: Mapping[int, int]) -> None:
    """Move each of these, all of one environment, by so many priorities."""
    _announce_if_live(feature_segments)
    for each in feature_segments:
        each.priority += steps[each.pk]
    FeatureSegment.objects.bulk_update(feature_segments, ["priority"])


def _shift(feature_segments: QuerySet[FeatureSegment], by: int) -> None:
    _announce_if_live(feature_segments)
    feature_segments.update(priority=F("priority") + by)


def _announce_if_live(feature_segments: Iterable[FeatureSegment]) -> None:
    """Say that the environment changes, if any of these (all of one environment) has a state."""
    state = _live_states(feature_segments).first()
    if state is not None:
        versions.announce([state.environment_id])
