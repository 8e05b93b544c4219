"""A flag in an environment as a whole: what it says to everybody, and to the members of each segment.

Identities' overrides are no part of it. Writers hold the environment's lock.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Prefetch
from rest_framework.exceptions import NotFound

from environments.models import Environment
from features.feature_segments import services as places
from features.feature_states.bulk import Content, Write, write
from features.feature_states.services import require_direct_writes
from features.future.errors import DuplicatePriority
from features.models import Feature, FeatureSegment, FeatureState
from features.multivariate.models import MultivariateFeatureStateValue

Changes = Mapping[str, Any]
"""Of a state: ``enabled``, ``feature_state_value`` (columns), ``multivariate_feature_state_values``. Of an override
also ``feature_segment``: its ``segment_id``, and its ``priority`` if that is given."""

NO_VALUE = dict.fromkeys(("string_value", "integer_value", "boolean_value"))


@dataclass(frozen=True)
class Flag:
    """The live states of a feature in an environment."""

    default: FeatureState
    overrides: list[FeatureState]
    """The strongest first."""


def read_flag(environment: Environment, feature: Feature) -> Flag:
    """With two queries. Raises NotFound where the environment says nothing of the feature."""
    by_option = MultivariateFeatureStateValue.objects.order_by("multivariate_feature_option")
    states = (
        FeatureState.objects.filter(environment=environment, feature=feature, identity=None, version__isnull=False)
        .select_related("feature_segment__segment", "feature_state_value", "environment__project", "feature")
        .prefetch_related(Prefetch("multivariate_feature_state_values", queryset=by_option))
        .order_by("feature_segment__priority", "feature_segment__segment")
    )
    default = next((state for state in states if state.feature_segment is None), None)
    if default is None:
        raise NotFound("No FeatureState matches the given query.")
    return Flag(default, [state for state in states if state.feature_segment is not None])


def change_flag(
    environment: Environment,
    feature: Feature,
    *,
    default: Changes | None = None,
    overrides: Sequence[Changes] | None = None,
    reset: bool = False,
) -> None:
    """Change what is given. With ``reset`` what it leaves out begins anew, and overrides that it leaves out go.

    An override begins with what the default says by then. A constant number of queries, one announcement, and none
    where SDKs read the same afterwards. Raises DuplicatePriority if two overrides would be equally strong.
    """
    require_direct_writes(environment)
    flag = read_flag(environment, feature)
    said = Content.of(flag.default)
    if default is not None:
        if reset:
            said = replace(said, enabled=False, value={**said.value, **NO_VALUE})
        said = _changed(said, default)
    writes = [Write(flag.default, said)]
    silent = False
    if overrides:
        changes = {each["feature_segment"]["segment_id"]: each for each in overrides}
        present = _by_segment(flag)
        for place in _arranged(environment, feature, flag, changes, reset):
            change = changes[place.segment_id]
            state = present.get(place.segment_id)
            base = said if state is None or reset else Content.of(state)
            state = state or FeatureState(environment=environment, feature=feature, feature_segment=place)
            writes.append(Write(state, _changed(base, change)))
        # All are new, and give nobody anything but what everybody has.
        silent = not said.shares and all(each.content.read == said.read for each in writes) and not present
    elif overrides is not None and reset:
        places.remove(_place(state) for state in flag.overrides)
    write(environment, writes, said, silent=silent)


def remove_override(environment: Environment, feature: Feature, segment_id: int) -> None:
    """Raises NotFound where the segment has none."""
    require_direct_writes(environment)
    state = _by_segment(read_flag(environment, feature)).get(segment_id)
    if state is None:
        raise NotFound("Segment override not found.")
    places.remove([_place(state)])


def _changed(content: Content, changes: Changes) -> Content:
    shares = changes.get("multivariate_feature_state_values")
    return Content(
        changes.get("enabled", content.enabled),
        {**content.value, **changes.get("feature_state_value", {})},
        content.shares
        if shares is None
        else {each["multivariate_feature_option_id"]: each["percentage_allocation"] for each in shares},
    )


def _arranged(
    environment: Environment, feature: Feature, flag: Flag, changes: Mapping[int, Changes], reset: bool
) -> list[FeatureSegment]:
    """The places of these segments' overrides, in their new order; with ``reset``, all others are gone."""
    if reset:
        places.remove(_place(state) for state in flag.overrides if _place(state).segment_id not in changes)
    present = places.read(environment, feature)
    live = {_place(state).pk for state in flag.overrides}
    # Of two places of a segment, the one counts that has a state.
    mine = {each.segment_id: each for each in sorted(present, key=lambda each: each.pk in live)}
    wanted = {
        segment: change["feature_segment"].get("priority", None if segment in mine else position)
        for position, (segment, change) in enumerate(changes.items())
    }
    moves = {mine[segment].pk: to for segment, to in wanted.items() if segment in mine and to is not None}
    new = {segment: to for segment, to in wanted.items() if segment not in mine}
    _refuse_duplicates([*(moves.get(each.pk, each.priority) for each in present), *new.values()])
    places.prioritise(environment, feature, present, moves)
    made = places.add(environment, feature, new)
    return [each for each in (*mine.values(), *made) if each.segment_id in changes]


def _refuse_duplicates(priorities: list[int]) -> None:
    twice = [priority for priority, times in Counter(priorities).items() if times > 1]
    if twice:
        raise DuplicatePriority(min(twice))


def _by_segment(flag: Flag) -> dict[int, FeatureState]:
    return {_place(state).segment_id: state for state in flag.overrides}


def _place(state: FeatureState) -> FeatureSegment:
    assert state.feature_segment is not None
    return state.feature_segment
