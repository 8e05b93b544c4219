"""The changes that services of flags report (``core.changes.report``) because they write in bulk.

Names in ``AboutTo…`` are reported before the write, all others after it.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from environments.identities.models import Identity
from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState
from features.values import COLUMNS
from features.workflows.core.models import ChangeRequest

Shares = Mapping[int, tuple[float | None, float | None]]
"""Percentages before and after, by the primary keys of the options; None: there is no share."""


def changed_shares(before: Mapping[int, float], after: Mapping[int, float]) -> Shares:
    """The shares of a state whose percentages differ."""
    pairs = {option: (before.get(option), after.get(option)) for option in sorted({*before, *after})}
    return {option: (old, new) for option, (old, new) in pairs.items() if old != new}


class Place(NamedTuple):
    """The place of a feature state. At most one state is live there."""

    environment_id: int
    feature_id: int
    feature_segment_id: int | None = None
    identity_id: int | None = None

    @classmethod
    def of(cls, state: FeatureState) -> "Place":
        return cls(state.environment_id, state.feature_id, state.feature_segment_id, state.identity_id)


class Stored(NamedTuple):
    """A state as it was stored at one moment."""

    state_id: int
    enabled: bool
    value: Mapping[str, Any]
    shares: Mapping[int, float]

    @classmethod
    def of(cls, state: FeatureState) -> "Stored":
        shares = state.multivariate_feature_state_values.all()
        return cls(
            state.pk,
            state.enabled,
            {name: getattr(state.feature_state_value, name) for name in COLUMNS},
            {share.multivariate_feature_option_id: share.percentage_allocation for share in shares},
        )


class AboutToChangeStates(NamedTuple):
    """The states of these places are about to be written or deleted."""

    places: Iterable[Place]


class FeatureCreated(NamedTuple):
    """A feature was created. Its states follow."""

    feature: Feature


class FirstStatesCreated(NamedTuple):
    """A new feature has a state in each environment, and this number of options."""

    feature: Feature
    states: Iterable[FeatureState]
    options: int


class AboutToDeleteFeature(NamedTuple):
    """A feature is about to be deleted, with its states and overrides."""

    feature: Feature


class AboutToDeleteOverrides(NamedTuple):
    """Segment overrides are about to be deleted. Read them with their features, projects and segments."""

    overrides: Iterable[FeatureSegment]


class OptionsReplaced(NamedTuple):
    """A feature has other options: numbers of those added and removed, and columns before and after of the others."""

    feature: Feature
    added: int = 0
    removed: int = 0
    changed: Iterable[tuple[Mapping[str, Any], Mapping[str, Any]]] = ()


class SharesReplaced(NamedTuple):
    """A state has other shares than before."""

    state: FeatureState
    shares: Shares


class StatesWritten(NamedTuple):
    """States of one feature in one environment were written: before and after, by their primary keys."""

    before: Mapping[int, Stored]
    after: Mapping[int, Stored]
    default_enabled: bool


class OverridesReordered(NamedTuple):
    """The segment overrides of a feature have another order: the segments' names before and after."""

    environment: Environment
    feature: Feature
    old: list[str]
    new: list[str]


class OverridesCopied(NamedTuple):
    """An identity has the overrides of another identity: before and after, by the features' primary keys."""

    identity: Identity
    before: Mapping[int, Stored]
    after: Mapping[int, Stored]


class WentLive(NamedTuple):
    """The states of a change request are live. Reported inside of ``actor.system(change_request)``."""

    states: Iterable[FeatureState]


class ChangeRequestFailed(NamedTuple):
    """A committed change request could not go live and is not tried again."""

    change_request: ChangeRequest
    reason: str
