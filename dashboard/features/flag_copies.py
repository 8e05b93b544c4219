"""A flag of one environment with its segment overrides: read, compared, and copied to another environment."""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import transaction
from django.db.models import QuerySet

from dashboard.api import APIResponse
from dashboard.features.editors import percent
from dashboard.features.state_changes import Outcome, StateChange, lock_for_change, propose_states
from dashboard.features.values import FormValue, comparable_value
from dashboard.pages import Page
from dashboard.scoped_pages import change_request_url
from environments.models import Environment
from features.feature_segments.services import live_feature_segments
from features.models import Feature, FeatureSegment, FeatureState
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from features.state_summaries import VALUE_PATHS
from features.values import value_from_columns


@dataclass(frozen=True)
class StateCopy:
    """The content of an environment default or of a segment override."""

    enabled: bool
    value: FormValue
    weights: dict[int, float] = field(default_factory=dict)
    """Percentages by option. What is written names all options of the feature."""

    @property
    def comparable(self) -> tuple[Any, ...]:
        return (self.enabled, self.value.comparable, sorted(self.weights.items()))

    @property
    def split(self) -> float:
        """The percentage of identities with another value than the feature's own."""
        return sum(self.weights.values())


@dataclass
class FlagCopy:
    """An environment default and the segment overrides, highest priority first, by the segments' primary keys."""

    default: StateCopy | None = None
    overrides: dict[int, StateCopy] = field(default_factory=dict)

    @property
    def comparable(self) -> tuple[Any, ...]:
        overrides = [(segment, state.comparable) for segment, state in self.overrides.items()]
        return self.default_comparable, overrides

    @property
    def default_comparable(self) -> Any:
        return self.default.comparable if self.default is not None else None


def read_flags(
    environments: Iterable[Environment], features: Collection[int], *, to_write: bool = False
) -> dict[int, dict[int, FlagCopy]]:
    """The flags of these features, by environment and feature. Two queries.

    ``to_write``: with all options of the features, also those with 0 %. A query more.
    """
    flags: dict[int, dict[int, FlagCopy]] = {each.pk: {} for each in environments}
    zeros: defaultdict[int, dict[int, float]] = defaultdict(dict)
    if to_write:
        options = MultivariateFeatureOption.objects.filter(feature__in=features)
        for feature, option in options.values_list("feature", "pk"):
            zeros[feature][option] = 0.0
    for environment, feature, segment, enabled, value, weights in _read_states(flags, features):
        state = StateCopy(enabled, FormValue.from_stored(value), zeros[feature] | weights)
        flag = flags[environment].setdefault(feature, FlagCopy())
        if segment is None:
            flag.default = state
        else:
            flag.overrides[segment] = state
    return flags


def differing_features(first: Environment, second: Environment) -> list[int]:
    """The features whose defaults or segment overrides differ. Two queries.

    It compares plain rows: objects for all states of 1,000 features took longer than the rest of the page.
    """
    flags: dict[int, dict[int, list[Any]]] = {first.pk: {}, second.pk: {}}
    for environment, feature, segment, enabled, value, weights in _read_states(flags):
        flags[environment].setdefault(feature, []).append((segment, enabled, comparable_value(value), weights))
    ours, theirs = flags[first.pk], flags[second.pk]
    return [pk for pk in ours.keys() | theirs.keys() if ours.get(pk) != theirs.get(pk)]


def _read_states(environments: Collection[int], features: Collection[int] | None = None) -> Iterator[tuple[Any, ...]]:
    """Environment, feature, segment, enabled, value and percentages of each default and override.

    The overrides of a feature have their order, and its default is before or after them. An option with 0 % is omitted,
    like one without a share, as an import leaves it: no identity gets either.
    """
    states: QuerySet[Any] = FeatureState.objects.filter(
        environment__in=environments, version__isnull=False, identity=None
    )
    shares: QuerySet[Any] = MultivariateFeatureStateValue.objects.filter(
        feature_state__environment__in=environments,
        feature_state__version__isnull=False,
        feature_state__identity=None,
    ).exclude(percentage_allocation=0)
    if features is not None:
        states, shares = states.filter(feature__in=features), shares.filter(feature_state__feature__in=features)
    weights: defaultdict[int, dict[int, float]] = defaultdict(dict)
    share_columns = ("feature_state", "multivariate_feature_option", "percentage_allocation")
    for state, option, percentage in shares.order_by().values_list(*share_columns):
        weights[state][option] = percentage
    columns = ("environment", "feature", "feature_segment__segment", "pk", "enabled", *VALUE_PATHS)
    for environment, feature, segment, pk, enabled, *value in states.order_by(
        "feature_segment__priority", "feature_segment"
    ).values_list(*columns):
        yield environment, feature, segment, enabled, value_from_columns(*value), weights.get(pk, {})


def copy_flag(page: Page, target: Environment, feature: Feature, flag: FlagCopy, title: str) -> Outcome:
    """Give the feature this default and these overrides in the environment, and remove its other overrides.

    That is one API call. If flags need approval, one change request proposes all of it.
    """
    assert flag.default is not None
    with transaction.atomic():
        if lock_for_change(target):
            response = _propose(page, target, feature, flag, title)
            if not response.ok:
                transaction.set_rollback(True)
                return Outcome(response)
            return Outcome(response, change_request_url(target, response.data["id"]))
        path = f"/api/__future__/environments/{target.api_key}/features/{feature.pk}/"
        overrides = FeatureSegment.objects.filter(environment=target.pk, feature=feature.pk)
        # The API requires unique priorities: those of change requests that are not live are taken.
        taken = overrides.exclude(feature_states__version__isnull=False).values_list("priority", flat=True)
        first = max(taken, default=-1) + 1
        body = {
            "environment_default": _flag_part(flag.default),
            "segment_overrides": [
                {"segment": {"id": segment}, "priority": priority, **_flag_part(state, flag.default)}
                for priority, (segment, state) in enumerate(flag.overrides.items(), first)
            ],
        }
        return Outcome(page.call("PUT", path, body))


def _flag_part(state: StateCopy, default: StateCopy | None = None) -> dict[str, Any]:
    """The format of a PUT of ``/api/__future__/``, which resets a missing value: of an override, to the default's."""
    part: dict[str, Any] = {"enabled": state.enabled}
    if not state.value.is_null or (default is not None and not default.value.is_null):
        part["value"] = state.value.as_flag_value()
    weights = [{"id": pk, "weight": percent(weight)} for pk, weight in state.weights.items()]
    return {**part, "variants": weights} if weights else part


def _propose(page: Page, target: Environment, feature: Feature, flag: FlagCopy, title: str) -> APIResponse:
    assert flag.default is not None
    live = live_feature_segments(target.pk, feature.pk).values_list("segment", flat=True)
    changes = [
        StateChange(feature.pk, state.enabled, state.value, state.weights, segment)
        for segment, state in ((None, flag.default), *flag.overrides.items())
    ]
    change_set = {
        "feature": feature.pk,
        "segment_ids_to_delete_overrides": [segment for segment in live if segment not in flag.overrides],
        "feature_states_to_update": [
            {"feature_segment": {"segment": segment, "priority": place}} for place, segment in enumerate(flag.overrides)
        ],
    }
    return propose_states(page, target, changes, title, change_sets=[change_set])
