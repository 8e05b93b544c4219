"""Live states of one environment written many at once: as many queries for all of a feature's overrides as for one.

Nothing here sends a signal; what is written is announced and logged here. Callers hold the environment's lock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import prefetch_related_objects
from django.utils import timezone

from core.changes import report
from environments.models import Environment
from features.changes import AboutToChangeStates, Place, StatesWritten, Stored
from features.feature_states.services import initial_value, replace_shares
from features.models import FeatureState, FeatureStateValue
from features.values import COLUMNS
from realtime.changes import versions


@dataclass(frozen=True)
class Content:
    """What a state says, whole: two can be compared, and one can begin as another."""

    enabled: bool
    value: Mapping[str, Any]
    """The columns of the value, those of other types too."""

    shares: Mapping[int, float]
    """Percentages by the options' primary keys."""

    @classmethod
    def of(cls, state: FeatureState) -> "Content":
        """A stored state's, which best was read with its value and its shares."""
        value = _value_of(state)
        shares = state.multivariate_feature_state_values.all()
        return cls(
            state.enabled,
            {name: getattr(value, name) for name in COLUMNS},
            {share.multivariate_feature_option_id: share.percentage_allocation for share in shares},
        )

    @property
    def read(self) -> Any:
        """What of it SDKs get to see."""
        return self.enabled, FeatureStateValue(**self.value).value, self.shares


class Write(NamedTuple):
    """A state, which is new if it has no primary key, and what it is to say."""

    state: FeatureState
    content: Content


def write(environment: Environment, writes: Sequence[Write], default: Content, *, silent: bool = False) -> None:
    """Make these states say this. One that says so already is left alone, and nobody hears of it.

    ``default`` is what the environment says by then. ``silent``: the new ones give nobody anything else.
    """
    before = {each.state.pk: Content.of(each.state) for each in writes if each.state.pk is not None}
    changed = [each for each in writes if each.state.pk is not None and each.content != before[each.state.pk]]
    new = [each for each in writes if each.state.pk is None]
    if any(each.content.read != before[each.state.pk].read for each in changed) or (new and not silent):
        versions.announce([environment.pk])
    elif new:
        versions.announce([environment.pk], silent=True)
    report(AboutToChangeStates(Place.of(each.state) for each in (*changed, *new)))
    _update(changed)
    _create(new)
    written = changed + new
    prefetch_related_objects([each.state for each in written], "multivariate_feature_state_values")
    replace_shares({each.state: _shares(each.content) for each in written})
    after = {each.state.pk: _stored(each.state.pk, each.content) for each in written}
    old = {pk: _stored(pk, content) for pk, content in before.items()}
    report(StatesWritten(old, after, default.enabled))


def _update(writes: list[Write]) -> None:
    if not writes:
        return
    now = timezone.now()
    values = []
    for state, content in writes:
        state.enabled, state.updated_at = content.enabled, now
        values.append(_set(_value_of(state), content))
    FeatureState.objects.bulk_update([each.state for each in writes], ["enabled", "updated_at"])
    FeatureStateValue.objects.bulk_update([value for value in values if value.pk is not None], COLUMNS)
    FeatureStateValue.objects.bulk_create(value for value in values if value.pk is None)


def _create(writes: list[Write]) -> None:
    for state, content in writes:
        state.enabled = content.enabled
    FeatureState.objects.bulk_create(each.state for each in writes)
    FeatureStateValue.objects.bulk_create(
        FeatureStateValue(feature_state=each.state, **each.content.value) for each in writes
    )


def _value_of(state: FeatureState) -> FeatureStateValue:
    return getattr(state, "feature_state_value", None) or initial_value(state)


def _set(value: FeatureStateValue, content: Content) -> FeatureStateValue:
    for name in COLUMNS:
        setattr(value, name, content.value[name])
    return value


def _shares(content: Content) -> list[dict[str, Any]]:
    return [
        {"multivariate_feature_option_id": option, "percentage_allocation": percentage}
        for option, percentage in content.shares.items()
    ]


def _stored(pk: int, content: Content) -> Stored:
    return Stored(pk, content.enabled, content.value, content.shares)
