"""Contents of a change request's feature states: comparable, writable to columns, and as JSON of the API."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from rest_framework.fields import DateTimeField

from features.feature_states.services import Shares, ValueColumns, initial_value
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from features.values import VALUE_COLUMNS


class Target(NamedTuple):
    """What a state changes in an environment: a feature's default (``feature_segment_id`` is None) or an override."""

    feature_id: int
    feature_segment_id: int | None

    @classmethod
    def of(cls, state: FeatureState) -> "Target":
        return cls(state.feature_id, state.feature_segment_id)


@dataclass(frozen=True)
class RequestedState:
    """The requested state of a target. Parts that are None are unchanged."""

    feature: Feature
    feature_segment: FeatureSegment | None = None
    enabled: bool | None = None
    value: ValueColumns | None = None
    shares: Shares | None = None
    live_from: datetime | None = None
    sets_live_from: bool = False
    """Whether ``live_from`` is given. If given as None, the state goes live with the commit."""

    @property
    def target(self) -> Target:
        return Target(self.feature.pk, self.feature_segment.pk if self.feature_segment is not None else None)


@dataclass(frozen=True)
class DraftContent:
    """The content of a feature state, with the time at which it goes live."""

    enabled: bool
    value: dict[str, Any]
    """The columns of ``VALUE_COLUMNS``."""

    shares: tuple[tuple[int, float], ...]
    """Option and percentage, ordered by option: the order decides which variant an identity receives."""

    live_from: datetime | None

    @classmethod
    def of(cls, state: FeatureState) -> "DraftContent":
        """The content of a stored or new state. Prefetch its value and its shares."""
        value: FeatureStateValue = getattr(state, "feature_state_value", None) or initial_value(state)
        shares = state.multivariate_feature_state_values.all() if state.pk is not None else ()
        return cls(
            state.enabled,
            {name: getattr(value, name) for name in VALUE_COLUMNS},
            tuple(sorted((share.multivariate_feature_option_id, share.percentage_allocation) for share in shares)),
            state.live_from,
        )

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> "DraftContent":
        """The content of a ``PlannedChange``, which ``state_json`` returned when the state went live."""
        shares = content["multivariate_feature_state_values"]
        live_from = content["live_from"]
        return cls(
            content["enabled"],
            content["feature_state_value"],
            tuple(sorted((each["multivariate_feature_option"], each["percentage_allocation"]) for each in shares)),
            datetime.fromisoformat(live_from) if live_from is not None else None,
        )

    def updated(self, requested: RequestedState) -> "DraftContent":
        content = self
        if requested.enabled is not None:
            content = replace(content, enabled=requested.enabled)
        if requested.value is not None:
            content = replace(content, value={**content.value, **requested.value})
        if requested.shares is not None:
            shares = (
                (each["multivariate_feature_option_id"], each["percentage_allocation"]) for each in requested.shares
            )
            content = replace(content, shares=tuple(sorted(shares)))
        if requested.sets_live_from:
            content = replace(content, live_from=requested.live_from)
        return content


def state_json(state: FeatureState) -> dict[str, Any]:
    """A feature state of a change request, as JSON of the API."""
    value = state.feature_state_value
    return {
        "id": state.pk,
        "feature": state.feature_id,
        "feature_segment": state.feature_segment_id,
        "enabled": state.enabled,
        "feature_state_value": {name: getattr(value, name) for name in VALUE_COLUMNS},
        "multivariate_feature_state_values": [
            {
                "id": share.pk,
                "multivariate_feature_option": share.multivariate_feature_option_id,
                "percentage_allocation": share.percentage_allocation,
            }
            for share in state.multivariate_feature_state_values.all()
        ],
        "live_from": DateTimeField().to_representation(state.live_from) if state.live_from is not None else None,
    }
