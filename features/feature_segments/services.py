"""Segment overrides of a feature in an environment, and their priorities. Callers hold the environment's lock.

The lowest priority takes precedence; the first is 0. Priorities are part of the environment document, so a change of
the priority of an override that has a live state is announced. A feature segment without a state has no effect yet.
"""

from collections.abc import Iterable, Mapping
from itertools import count
from typing import Any

from django.db.models import Exists, F, Max, OuterRef, QuerySet
from rest_framework.exceptions import ValidationError

from core.changes import report
from environments.models import Environment
from features.changes import AboutToChangeStates, AboutToDeleteOverrides, OverridesReordered, StateKey
from features.feature_states.services import Shares, ValueColumns, create_state, remove_states, require_direct_writes
from features.models import Feature, FeatureSegment, FeatureState
from realtime.changes import versions
from segments.models import Segment

# Below the maximum of a 32-bit integer, since inserting an override raises the priorities after it.
MAX_PRIORITY = 1_000_000_000


def create_feature_segment(
    environment: Environment, feature: Feature, segment: Segment, priority: int | None = None
) -> FeatureSegment:
    """Create a feature segment with this priority, shifting others if it is taken, or else last."""
    others = _feature_segments(environment.pk, feature.pk)
    if priority is None:
        priority = next_priority(environment.pk, feature.pk)
    elif others.filter(priority=priority).exists():
        _shift_priorities(others.filter(priority__gte=priority), 1)
    return FeatureSegment.objects.create(environment=environment, feature=feature, segment=segment, priority=priority)


def next_priority(environment: int, feature: int) -> int:
    """The priority of a new override that comes last. Without one, the API gives it the first place of its call, which
    another override may have.
    """
    last = _feature_segments(environment, feature).aggregate(last=Max("priority"))["last"]
    return 0 if last is None else last + 1


def create_override(
    environment: Environment,
    feature: Feature,
    segment: Segment,
    *,
    priority: int | None = None,
    value: ValueColumns | None = None,
    shares: Shares | None = None,
    **columns: Any,
) -> FeatureState:
    """Create a feature segment and its state. Raises ValidationError if the segment overrides the feature already."""
    require_direct_writes(environment)
    if _live_states(_feature_segments(environment.pk, feature.pk).filter(segment=segment)).exists():
        raise ValidationError({"feature_segment": {"segment": ["This segment overrides the feature already."]}})
    feature_segment = create_feature_segment(environment, feature, segment, priority)
    return create_state(
        environment, feature=feature, feature_segment=feature_segment, value=value, shares=shares, **columns
    )


def change_segment(feature_segment: FeatureSegment, segment: Segment) -> FeatureSegment:
    """Assign the override to another segment. Announced here, since the column ``segment`` is not watched."""
    if feature_segment.segment_id != segment.pk:
        _announce_if_live([feature_segment])
        feature_segment.segment = segment
        feature_segment.save(update_fields=["segment"])
    return feature_segment


def remove_feature_segments(feature_segments: Iterable[FeatureSegment]) -> None:
    """Remove overrides of one feature in one environment with their states, and close the gaps in the priorities."""
    removed = list(feature_segments)
    if not removed:
        return
    remove_all(FeatureSegment.objects.filter(pk__in=[each.pk for each in removed]))
    others = list(_feature_segments(removed[0].environment_id, removed[0].feature_id))
    steps = {each.pk: sum(gap.priority < each.priority for gap in removed) for each in others}
    _move_priorities([each for each in others if steps[each.pk]], {pk: -step for pk, step in steps.items()})


def remove_all(overrides: QuerySet[FeatureSegment]) -> None:
    """Remove overrides of any features in one environment, with their states.

    Uses a constant number of queries: the deletes are raw, since a signal for each row would read the other rows.
    """
    keys = overrides.order_by().values_list("environment_id", "feature_id", "pk")
    report(AboutToChangeStates(StateKey(*key) for key in keys))
    _announce_if_live(overrides)
    report(AboutToDeleteOverrides(overrides.select_related("feature__project", "segment")))
    remove_states(FeatureState.objects.filter(feature_segment__in=overrides.order_by().values("pk")))
    overrides._raw_delete(overrides.db)


def live_feature_segments(environment: int, feature: int) -> QuerySet[FeatureSegment]:
    """The feature segments with a live state. Those of change requests have none yet."""
    return with_live_state(_feature_segments(environment, feature))


def with_live_state(feature_segments: QuerySet[FeatureSegment]) -> QuerySet[FeatureSegment]:
    states = FeatureState.objects.filter(feature_segment=OuterRef("pk"), version__isnull=False)
    return feature_segments.filter(Exists(states))


def read_feature_segments(environment: Environment, feature: Feature) -> list[FeatureSegment]:
    """The feature segments of a feature in an environment with their segments, the lowest priority first."""
    return list(_feature_segments(environment.pk, feature.pk).select_related("segment"))


def add_feature_segments(
    environment: Environment, feature: Feature, priorities: Mapping[int, int]
) -> list[FeatureSegment]:
    """Create feature segments with these priorities by the segment's primary key. The priorities must not be taken.

    Nothing is announced: without a state they have no effect yet.
    """
    return FeatureSegment.objects.bulk_create(
        FeatureSegment(environment=environment, feature=feature, segment_id=segment, priority=priority)
        for segment, priority in priorities.items()
    )


def reorder(environment: Environment, feature: Feature, priorities: Mapping[int, int]) -> list[FeatureSegment]:
    """Set priorities by the feature segment's primary key. The others keep their order and fill the free priorities.

    If a requested priority is taken, the next free one is used. Returns the listed feature segments, the lowest
    priority first.
    """
    feature_segments = read_feature_segments(environment, feature)
    if any(each.priority != priorities.get(each.pk, each.priority) for each in feature_segments):
        set_priorities(
            environment,
            feature,
            feature_segments,
            _assign_priorities([each.pk for each in feature_segments], priorities),
        )
    return sorted((each for each in feature_segments if each.pk in priorities), key=lambda each: each.priority)


def set_priorities(
    environment: Environment, feature: Feature, feature_segments: list[FeatureSegment], priorities: Mapping[int, int]
) -> None:
    """Set priorities by the feature segment's primary key. Feature segments that are not listed keep their priority.

    ``feature_segments`` are all of the feature in the environment, in order, with their segments.
    """
    moved = [each for each in feature_segments if priorities.get(each.pk, each.priority) != each.priority]
    if not moved:
        return
    before = [each.segment.name for each in feature_segments]
    _move_priorities(moved, {each.pk: priorities[each.pk] - each.priority for each in moved})
    after = [each.segment.name for each in sorted(feature_segments, key=lambda each: each.priority)]
    report(OverridesReordered(environment, feature, before, after))


def _assign_priorities(pks: list[int], requested: Mapping[int, int]) -> dict[int, int]:
    """Resolve requested priorities to unique ones; the other feature segments get the free priorities in order."""
    assigned: dict[int, int] = {}
    taken: set[int] = set()
    for pk in sorted(requested, key=requested.__getitem__):
        assigned[pk] = next(priority for priority in count(requested[pk]) if priority not in taken)
        taken.add(assigned[pk])
    free = (priority for priority in count() if priority not in taken)
    return assigned | {pk: next(free) for pk in pks if pk not in requested}


def _feature_segments(environment: int, feature: int) -> QuerySet[FeatureSegment]:
    return FeatureSegment.objects.filter(environment=environment, feature=feature)


def _live_states(feature_segments: Iterable[FeatureSegment]) -> QuerySet[FeatureState]:
    return FeatureState.objects.filter(feature_segment__in=feature_segments, version__isnull=False)


def _move_priorities(feature_segments: list[FeatureSegment], steps: Mapping[int, int]) -> None:
    """Change each priority by a step. All feature segments belong to one environment."""
    _announce_if_live(feature_segments)
    for each in feature_segments:
        each.priority += steps[each.pk]
    FeatureSegment.objects.bulk_update(feature_segments, ["priority"])


def _shift_priorities(feature_segments: QuerySet[FeatureSegment], by: int) -> None:
    _announce_if_live(feature_segments)
    feature_segments.update(priority=F("priority") + by)


def _announce_if_live(feature_segments: Iterable[FeatureSegment]) -> None:
    """Announce the environment if any of these feature segments has a live state. All belong to one environment."""
    state = _live_states(feature_segments).first()
    if state is not None:
        versions.announce([state.environment_id])
