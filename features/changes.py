"""Change records that services of flags report (``core.changes.report``), since bulk writes send no model signals.

``AboutTo…`` records are reported before the write, all others after it.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from environments.identities.models import Identity
from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState
from features.values import VALUE_COLUMNS
from features.workflows.core.models import ChangeRequest

ShareChanges = Mapping[int, tuple[float | None, float | None]]
"""Percentages before and after the change, by the option's primary key. None: no share."""


def changed_shares(before: Mapping[int, float], after: Mapping[int, float]) -> ShareChanges:
    """The shares of a state whose percentages differ before and after."""
    pairs = {option: (before.get(option), after.get(option)) for option in sorted({*before, *after})}
    return {option: (old, new) for option, (old, new) in pairs.items() if old != new}


class StateKey(NamedTuple):
    """The natural key of a live feature state: each key has at most one live state."""

    environment_id: int
    feature_id: int
    feature_segment_id: int | None = None
    identity_id: int | None = None

    @classmethod
    def of(cls, state: FeatureState) -> "StateKey":
        return cls(state.environment_id, state.feature_id, state.feature_segment_id, state.identity_id)


class StateSnapshot(NamedTuple):
    """The stored contents of a feature state at one moment."""

    state_id: int
    enabled: bool
    value: Mapping[str, Any]
    shares: Mapping[int, float]

    @classmethod
    def of(cls, state: FeatureState) -> "StateSnapshot":
        shares = state.multivariate_feature_state_values.all()
        value = getattr(state, "feature_state_value", None)
        return cls(
            state.pk,
            state.enabled,
            {name: getattr(value, name, None) for name in VALUE_COLUMNS},
            {share.multivariate_feature_option_id: share.percentage_allocation for share in shares},
        )


class AboutToChangeStates(NamedTuple):
    """The states of these keys are about to be written or deleted."""

    keys: Iterable[StateKey]


class FeatureCreated(NamedTuple):
    """A feature was created. Its states are not created yet."""

    feature: Feature


class FeaturesCreated(NamedTuple):
    """Features of a project were created with their states; ``options`` has the number of each one's options."""

    features: Sequence[Feature]
    states: Iterable[FeatureState]
    options: Mapping[int, int]


class FirstStatesCreated(NamedTuple):
    """The states of a new feature were created, one in each environment; ``options`` is the number of its options."""

    feature: Feature
    states: Iterable[FeatureState]
    options: int


class AboutToDeleteFeature(NamedTuple):
    """A feature is about to be deleted, with its states and overrides."""

    feature: Feature


class AboutToDeleteOverrides(NamedTuple):
    """Segment overrides are about to be deleted. ``overrides`` selects their features, projects and segments."""

    overrides: Iterable[FeatureSegment]


class IdentityOverridesDeleted(NamedTuple):
    """Identity overrides in an environment were deleted; ``features`` has the feature of each one."""

    environment: Environment
    features: Sequence[Feature]


class OptionsReplaced(NamedTuple):
    """Options of a feature were added, removed or changed; ``changed`` has the columns before and after."""

    feature: Feature
    added: int = 0
    removed: int = 0
    changed: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]] = ()


class SharesReplaced(NamedTuple):
    """Shares of a state were changed."""

    state: FeatureState
    shares: ShareChanges


class StatesWritten(NamedTuple):
    """States of one feature in one environment were written: contents before and after, by the state's primary key."""

    before: Mapping[int, StateSnapshot]
    after: Mapping[int, StateSnapshot]
    default_enabled: bool


class OverridesReordered(NamedTuple):
    """The segment overrides of a feature were reordered: the segments' names in the old and in the new order."""

    environment: Environment
    feature: Feature
    old: list[str]
    new: list[str]


class OverridesCopied(NamedTuple):
    """An identity got copies of another identity's overrides: before and after, by the feature's primary key."""

    identity: Identity
    before: Mapping[int, StateSnapshot]
    after: Mapping[int, StateSnapshot]


class StatesPublished(NamedTuple):
    """The states of a change request went live. Reported inside ``actor.system(change_request)``.

    ``before`` has the contents of the states that they replaced, by the new state's primary key.
    """

    states: Iterable[FeatureState]
    before: Mapping[int, StateSnapshot]


class ChangeRequestFailed(NamedTuple):
    """A committed change request could not go live. It is not retried."""

    change_request: ChangeRequest
    reason: str
