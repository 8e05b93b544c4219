"""Writes feature states with their values and shares, which are rows of their own.

A share (``MultivariateFeatureStateValue``) is the percentage of identities that receive an option. States and values
are saved one by one, so model signals announce them; shares are written in bulk and announced here. Callers hold the
environment's lock.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.exceptions import ValidationError

from core.changes import report
from environments.models import Environment
from features import changes
from features.changes import AboutToChangeStates, SharesReplaced, StateKey
from features.models import Feature, FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureStateValue
from features.values import parse_initial_value
from realtime.changes import triggers, versions

ValueColumns = Mapping[str, Any]
"""Columns of a value to set, by name. The others are unchanged."""

Shares = Iterable[Mapping[str, Any]]
"""``multivariate_feature_option_id`` and ``percentage_allocation`` of each share."""

# Flagsmith's message, which clients may match: a list formatted as text.
ALREADY_EXISTS = (
    "['Feature state already exists for this environment, feature, version, segment & identity combination']"
)


def require_direct_writes(environment: Environment) -> None:
    """Raise ValidationError if the environment uses v2 feature versioning, whose states cannot be written directly."""
    if environment.use_v2_feature_versioning:
        raise ValidationError({"detail": "This environment uses v2 feature versioning. Publish a version instead."})


def create_state(
    environment: Environment,
    *,
    feature: Feature,
    value: ValueColumns | None = None,
    shares: Shares | None = None,
    **columns: Any,
) -> FeatureState:
    """Create a live state. Its value is the feature's initial value, updated with ``value``.

    Without ``shares`` an environment default gets the default percentages of the options, and an override no shares.
    Raises ValidationError if there is a live state already.
    """
    if columns.get("live_from", ...) is None:
        columns["live_from"] = timezone.now()
    state = FeatureState(environment=environment, feature=feature, **columns)
    if state.identity_id is None:
        require_direct_writes(environment)
    existing = FeatureState.objects.filter(
        environment=environment,
        feature=feature,
        feature_segment=state.feature_segment_id,
        identity=state.identity_id,
        version__isnull=False,
    )
    if existing.exists():
        raise ValidationError(ALREADY_EXISTS)
    state.save()
    _set_columns(initial_value(state), value or {})
    if shares is None and state.feature_segment_id is None and state.identity_id is None:
        shares = [
            {"multivariate_feature_option_id": pk, "percentage_allocation": percentage}
            for pk, percentage in feature.multivariate_options.values_list("pk", "default_percentage_allocation")
        ]
    set_shares(state, shares or ())
    return state


def update_state(
    state: FeatureState, *, value: ValueColumns | None = None, shares: Shares | None = None, **columns: Any
) -> FeatureState:
    """Set columns of a state and of its value. Shares are replaced unless they are None."""
    if state.identity_id is None:
        require_direct_writes(state.environment)
    for name, content in columns.items():
        setattr(state, name, content)
    state.save()
    if value:
        _set_columns(getattr(state, "feature_state_value", None) or FeatureStateValue(feature_state=state), value)
    if shares is not None:
        report(SharesReplaced(state, set_shares(state, shares)))
    return state


def remove_states(states: QuerySet[FeatureState]) -> None:
    """Remove states with their values and shares. The caller announces and reports it.

    The deletes are raw: a signal for each row would read the other rows.
    """
    for rows in (
        MultivariateFeatureStateValue.objects.filter(feature_state__in=states),
        FeatureStateValue.objects.filter(feature_state__in=states),
        states,
    ):
        rows._raw_delete(rows.db)


def initial_value(state: FeatureState) -> FeatureStateValue:
    """The unsaved value of a new state: the feature's initial value."""
    value = FeatureStateValue(feature_state=state)
    prevent_defaults = state.environment.project.prevent_flag_defaults
    value.value = None if prevent_defaults else parse_initial_value(state.feature.initial_value)
    return value


def set_shares(state: FeatureState, shares: Shares) -> changes.ShareChanges:
    """Replace the shares of a state. Returns the percentages that changed."""
    return replace_shares({state: shares})[state.pk]


def replace_shares(shares_by_state: Mapping[FeatureState, Shares]) -> dict[int, changes.ShareChanges]:
    """Replace the shares of states. Returns the percentages that changed, by the state's primary key.

    Shares of the same option keep their row. Uses a constant number of queries if the shares are prefetched.
    """
    removed: list[int] = []
    new: list[MultivariateFeatureStateValue] = []
    changed: list[MultivariateFeatureStateValue] = []
    changed_by_state = {}
    for state, shares in shares_by_state.items():
        stored = {each.multivariate_feature_option_id: each for each in state.multivariate_feature_state_values.all()}
        before = {option: share.percentage_allocation for option, share in stored.items()}
        after = {share["multivariate_feature_option_id"]: share["percentage_allocation"] for share in shares}
        changed_by_state[state.pk] = changes.changed_shares(before, after)
        for option in changed_by_state[state.pk]:
            share = stored.get(option)
            if share is None:
                share = MultivariateFeatureStateValue(feature_state=state, multivariate_feature_option_id=option)
                new.append(share)
            elif option in after:
                changed.append(share)
            else:
                removed.append(share.pk)
                continue
            share.percentage_allocation = after[option]
        if changed_by_state[state.pk]:
            effect = triggers.of_state(state)
            versions.announce(effect.environments, silent=effect.silent)
    report(AboutToChangeStates(StateKey.of(state) for state in shares_by_state if changed_by_state[state.pk]))
    # Raw: a signal for each row would read its state.
    rows = MultivariateFeatureStateValue.objects.filter(pk__in=removed)
    rows._raw_delete(rows.db)
    MultivariateFeatureStateValue.objects.bulk_update(changed, ["percentage_allocation"])
    MultivariateFeatureStateValue.objects.bulk_create(new)
    return changed_by_state


def _set_columns(value: FeatureStateValue, columns: ValueColumns) -> None:
    for name, content in columns.items():
        setattr(value, name, content)
    value.save()
