"""Bulk writes of live states of one feature in one environment, with a constant number of queries.

Bulk writes send no model signals, so the environment is announced and the change reported here. Callers hold the
environment's lock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import prefetch_related_objects
from django.utils import timezone

from core.changes import report
from environments.models import Environment
from features.changes import AboutToChangeStates, StateKey, StateSnapshot, StatesWritten
from features.feature_states.services import initial_value, replace_shares
from features.models import FeatureState, FeatureStateValue
from features.values import VALUE_COLUMNS
from realtime.changes import versions


@dataclass(frozen=True)
class StateContent:
    """The content of a feature state: comparable, and usable as the initial content of another state."""

    enabled: bool
    value: Mapping[str, Any]
    """All columns of the value, including those of other types."""

    shares: Mapping[int, float]
    """Percentages by the option's primary key."""

    @classmethod
    def of(cls, state: FeatureState) -> "StateContent":
        """The content of a stored state. Prefetch its value and its shares."""
        value = _value_of(state)
        shares = state.multivariate_feature_state_values.all()
        return cls(
            state.enabled,
            {name: getattr(value, name) for name in VALUE_COLUMNS},
            {share.multivariate_feature_option_id: share.percentage_allocation for share in shares},
        )

    @property
    def visible_to_sdks(self) -> Any:
        """The part that SDKs can read."""
        return self.enabled, FeatureStateValue(**self.value).value, self.shares


class StateWrite(NamedTuple):
    """A state (new if it has no primary key) and the content to write."""

    state: FeatureState
    content: StateContent


def write_states(
    environment: Environment, writes: Sequence[StateWrite], default: StateContent, *, silent: bool = False
) -> None:
    """Write contents that differ from the stored ones, announce them if SDKs can read the difference, and report them.

    ``default`` is the content of the environment default after the write. With ``silent``, new states do not publish an
    event, since no identity's flags change.
    """
    before = {each.state.pk: StateContent.of(each.state) for each in writes if each.state.pk is not None}
    changed = [each for each in writes if each.state.pk is not None and each.content != before[each.state.pk]]
    new = [each for each in writes if each.state.pk is None]
    if any(each.content.visible_to_sdks != before[each.state.pk].visible_to_sdks for each in changed) or (
        new and not silent
    ):
        versions.announce([environment.pk])
    elif new:
        versions.announce([environment.pk], silent=True)
    report(AboutToChangeStates(StateKey.of(each.state) for each in (*changed, *new)))
    _update(changed)
    _create(new)
    written = changed + new
    prefetch_related_objects([each.state for each in written], "multivariate_feature_state_values")
    replace_shares({each.state: _share_items(each.content) for each in written})
    after = {each.state.pk: _snapshot(each.state.pk, each.content) for each in written}
    old = {pk: _snapshot(pk, content) for pk, content in before.items()}
    report(StatesWritten(old, after, default.enabled))


def _update(writes: list[StateWrite]) -> None:
    if not writes:
        return
    now = timezone.now()
    values = []
    for state, content in writes:
        state.enabled, state.updated_at = content.enabled, now
        values.append(_set_columns(_value_of(state), content))
    FeatureState.objects.bulk_update([each.state for each in writes], ["enabled", "updated_at"])
    FeatureStateValue.objects.bulk_update([value for value in values if value.pk is not None], VALUE_COLUMNS)
    FeatureStateValue.objects.bulk_create(value for value in values if value.pk is None)


def _create(writes: list[StateWrite]) -> None:
    for state, content in writes:
        state.enabled = content.enabled
    FeatureState.objects.bulk_create(each.state for each in writes)
    FeatureStateValue.objects.bulk_create(
        FeatureStateValue(feature_state=each.state, **each.content.value) for each in writes
    )


def _value_of(state: FeatureState) -> FeatureStateValue:
    return getattr(state, "feature_state_value", None) or initial_value(state)


def _set_columns(value: FeatureStateValue, content: StateContent) -> FeatureStateValue:
    for name in VALUE_COLUMNS:
        setattr(value, name, content.value[name])
    return value


def _share_items(content: StateContent) -> list[dict[str, Any]]:
    return [
        {"multivariate_feature_option_id": option, "percentage_allocation": percentage}
        for option, percentage in content.shares.items()
    ]


def _snapshot(pk: int, content: StateContent) -> StateSnapshot:
    return StateSnapshot(pk, content.enabled, content.value, content.shares)
