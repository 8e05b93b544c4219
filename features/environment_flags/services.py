"""Reads and writes a flag as a whole: its environment default and all its segment overrides.

Identity overrides are not included. Writers hold the environment's lock.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import Prefetch
from rest_framework.exceptions import NotFound

from environments.models import Environment
from features.environment_flags.errors import DuplicatePriority
from features.feature_segments import services as feature_segment_services
from features.feature_states.bulk import StateContent, StateWrite, write_states
from features.feature_states.services import require_direct_writes
from features.models import Feature, FeatureSegment, FeatureState
from features.multivariate.models import MultivariateFeatureStateValue

StateChanges = Mapping[str, Any]
"""Changes of a state: ``enabled``, ``feature_state_value`` (columns), ``multivariate_feature_state_values`` (shares).

An override also has ``feature_segment``: its ``segment_id``, and optionally its ``priority``."""

NO_VALUE = dict.fromkeys(("string_value", "integer_value", "boolean_value"))


@dataclass(frozen=True)
class Flag:
    """The live states of a feature in an environment."""

    default: FeatureState
    overrides: list[FeatureState]
    """The lowest priority first."""


def read_flag(environment: Environment, feature: Feature) -> Flag:
    """Read a flag with two queries. Raises NotFound if the environment has no state of the feature."""
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
    default: StateChanges | None = None,
    overrides: Sequence[StateChanges] | None = None,
    replace_parts: bool = False,
) -> None:
    """Change the given parts. With ``replace_parts``, missing fields are reset and missing overrides are removed.

    A new override begins with the content of the changed default. Uses a constant number of queries, and announces the
    environment once, only if SDKs can read a change. Raises DuplicatePriority if two overrides would have one priority.
    """
    require_direct_writes(environment)
    flag = read_flag(environment, feature)
    default_content = StateContent.of(flag.default)
    if default is not None:
        if replace_parts:
            default_content = replace(default_content, enabled=False, value={**default_content.value, **NO_VALUE})
        default_content = _apply(default_content, default)
    writes = [StateWrite(flag.default, default_content)]
    silent = False
    if overrides:
        changes_by_segment = {each["feature_segment"]["segment_id"]: each for each in overrides}
        stored = _states_by_segment(flag)
        for feature_segment in _arrange_feature_segments(
            environment, feature, flag, changes_by_segment, remove_others=replace_parts
        ):
            changes = changes_by_segment[feature_segment.segment_id]
            state = stored.get(feature_segment.segment_id)
            base = default_content if state is None or replace_parts else StateContent.of(state)
            state = state or FeatureState(environment=environment, feature=feature, feature_segment=feature_segment)
            writes.append(StateWrite(state, _apply(base, changes)))
        # All overrides are new and equal to the default, so no identity's flags change.
        silent = (
            not default_content.shares
            and all(each.content.visible_to_sdks == default_content.visible_to_sdks for each in writes)
            and not stored
        )
    elif overrides is not None and replace_parts:
        feature_segment_services.remove_feature_segments(_feature_segment(state) for state in flag.overrides)
    write_states(environment, writes, default_content, silent=silent)


def remove_override(environment: Environment, feature: Feature, segment_id: int) -> None:
    """Remove the override of a segment. Raises NotFound if there is none."""
    require_direct_writes(environment)
    state = _states_by_segment(read_flag(environment, feature)).get(segment_id)
    if state is None:
        raise NotFound("Segment override not found.")
    feature_segment_services.remove_feature_segments([_feature_segment(state)])


def _apply(content: StateContent, changes: StateChanges) -> StateContent:
    shares = changes.get("multivariate_feature_state_values")
    return StateContent(
        changes.get("enabled", content.enabled),
        {**content.value, **changes.get("feature_state_value", {})},
        content.shares
        if shares is None
        else {each["multivariate_feature_option_id"]: each["percentage_allocation"] for each in shares},
    )


def _arrange_feature_segments(
    environment: Environment,
    feature: Feature,
    flag: Flag,
    changes_by_segment: Mapping[int, StateChanges],
    *,
    remove_others: bool,
) -> list[FeatureSegment]:
    """Create or move the feature segments of these changes, and return them."""
    if remove_others:
        overrides = (_feature_segment(state) for state in flag.overrides)
        feature_segment_services.remove_feature_segments(
            each for each in overrides if each.segment_id not in changes_by_segment
        )
    stored = feature_segment_services.read_feature_segments(environment, feature)
    live = {_feature_segment(state).pk for state in flag.overrides}
    # A segment may have several feature segments; the one with a live state is sorted last and used.
    by_segment = {each.segment_id: each for each in sorted(stored, key=lambda each: each.pk in live)}
    priorities = {
        segment: changes["feature_segment"].get("priority", None if segment in by_segment else position)
        for position, (segment, changes) in enumerate(changes_by_segment.items())
    }
    moved = {
        by_segment[segment].pk: priority
        for segment, priority in priorities.items()
        if segment in by_segment and priority is not None
    }
    new = {segment: priority for segment, priority in priorities.items() if segment not in by_segment}
    _check_unique([*(moved.get(each.pk, each.priority) for each in stored), *new.values()])
    feature_segment_services.set_priorities(environment, feature, stored, moved)
    created = feature_segment_services.add_feature_segments(environment, feature, new)
    return [each for each in (*by_segment.values(), *created) if each.segment_id in changes_by_segment]


def _check_unique(priorities: list[int]) -> None:
    duplicates = [priority for priority, occurrences in Counter(priorities).items() if occurrences > 1]
    if duplicates:
        raise DuplicatePriority(min(duplicates))


def _states_by_segment(flag: Flag) -> dict[int, FeatureState]:
    return {_feature_segment(state).segment_id: state for state in flag.overrides}


def _feature_segment(state: FeatureState) -> FeatureSegment:
    assert state.feature_segment is not None
    return state.feature_segment
