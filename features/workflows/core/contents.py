"""What a feature state of a change request says: as columns to compare and to write, and as the API shows it."""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, NamedTuple

from rest_framework.fields import DateTimeField

from features.feature_states.services import Columns, Shares, initial_value
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue

VALUE = ("type", "string_value", "integer_value", "boolean_value")


class Place(NamedTuple):
    """Where a state stands in an environment. At most one is live there."""

    feature_id: int
    feature_segment_id: int | None


@dataclass(frozen=True)
class Wish:
    """What somebody wants a place to become. None: that part stays as it is."""

    feature: Feature
    feature_segment: FeatureSegment | None = None
    enabled: bool | None = None
    value: Columns | None = None
    shares: Shares | None = None
    live_from: datetime | None = None
    sets_live_from: bool = False
    """Whether ``live_from`` counts: None is a wish too, to go live with the commit."""

    @property
    def place(self) -> Place:
        return Place(self.feature.pk, self.feature_segment.pk if self.feature_segment is not None else None)


@dataclass(frozen=True)
class Content:
    """A feature state whole, so that two of them can be compared."""

    enabled: bool
    value: dict[str, Any]
    """The columns of ``VALUE``."""

    shares: tuple[tuple[int, float], ...]
    """Options with their percentages, in the order of the options: the order in which identities are split."""

    live_from: datetime | None

    @classmethod
    def of(cls, state: FeatureState) -> "Content":
        """A stored state's, which best was read with its value and its shares."""
        value: FeatureStateValue = getattr(state, "feature_state_value", None) or initial_value(state)
        shares = state.multivariate_feature_state_values.all() if state.pk is not None else ()
        return cls(
            state.enabled,
            {name: getattr(value, name) for name in VALUE},
            tuple(sorted((share.multivariate_feature_option_id, share.percentage_allocation) for share in shares)),
            state.live_from,
        )

    @classmethod
    def kept(cls, content: dict[str, Any]) -> "Content":
        """That of a state that went live, from what ``shown`` said of it then."""
        shares = content["multivariate_feature_state_values"]
        moment = content["live_from"]
        return cls(
            content["enabled"],
            content["feature_state_value"],
            tuple(sorted((each["multivariate_feature_option"], each["percentage_allocation"]) for each in shares)),
            datetime.fromisoformat(moment) if moment is not None else None,
        )

    def with_wish(self, wish: Wish) -> "Content":
        changed = self
        if wish.enabled is not None:
            changed = replace(changed, enabled=wish.enabled)
        if wish.value is not None:
            changed = replace(changed, value={**changed.value, **wish.value})
        if wish.shares is not None:
            pairs = ((each["multivariate_feature_option_id"], each["percentage_allocation"]) for each in wish.shares)
            changed = replace(changed, shares=tuple(sorted(pairs)))
        if wish.sets_live_from:
            changed = replace(changed, live_from=wish.live_from)
        return changed


def shown(state: FeatureState) -> dict[str, Any]:
    """A state as a change request shows it: values that JSON has."""
    value = state.feature_state_value
    return {
        "id": state.pk,
        "feature": state.feature_id,
        "feature_segment": state.feature_segment_id,
        "enabled": state.enabled,
        "feature_state_value": {name: getattr(value, name) for name in VALUE},
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
