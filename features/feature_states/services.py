"""Writing feature states: a state, its value and its shares are rows of their own, and change together.

Callers hold the environment's lock. A state and its value are saved one by one, so signals announce them; shares are
written in bulk and announced here.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.db.models import QuerySet
from django.utils import timezone
from rest_framework.exceptions import ValidationError

from core.changes import report
from environments.models import Environment
from features import changes
from features.changes import AboutToChangeStates, Place, SharesReplaced
from features.models import Feature, FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureStateValue
from features.values import typed
from realtime.changes import triggers, versions

Columns = Mapping[str, Any]
"""Columns of a value to set, by name. The others keep what they hold."""

Shares = Iterable[Mapping[str, Any]]
"""``multivariate_feature_option_id`` and ``percentage_allocation`` of each share that there is to be."""

# In Flagsmith's words, which clients may look for: a list printed into a list.
TAKEN = "['Feature state already exists for this environment, feature, version, segment & identity combination']"


def require_direct_writes(environment: Environment) -> None:
    """Raise ValidationError where states change by publishing versions of a feature only."""
    if environment.use_v2_feature_versioning:
        raise ValidationError({"detail": "This environment uses v2 feature versioning. Publish a version instead."})


def create_state(
    environment: Environment,
    *,
    feature: Feature,
    value: Columns | None = None,
    shares: Shares | None = None,
    **columns: Any,
) -> FeatureState:
    """A new live state. Its value begins with the feature's initial value; ``value`` is set on top of it.

    The environment's default has the options' default percentages unless ``shares`` says otherwise; an override has
    none of its own. Raises ValidationError where there is a live state already.
    """
    if columns.get("live_from", ...) is None:
        columns["live_from"] = timezone.now()
    state = FeatureState(environment=environment, feature=feature, **columns)
    if state.identity_id is None:
        require_direct_writes(environment)
    taken = FeatureState.objects.filter(
        environment=environment,
        feature=feature,
        feature_segment=state.feature_segment_id,
        identity=state.identity_id,
        version__isnull=False,
    )
    if taken.exists():
        raise ValidationError(TAKEN)
    state.save()
    _set(initial_value(state), value or {})
    if shares is None and state.feature_segment_id is None and state.identity_id is None:
        shares = [
            {"multivariate_feature_option_id": pk, "percentage_allocation": percentage}
            for pk, percentage in feature.multivariate_options.values_list("pk", "default_percentage_allocation")
        ]
    set_shares(state, shares or ())
    return state


def update_state(
    state: FeatureState, *, value: Columns | None = None, shares: Shares | None = None, **columns: Any
) -> FeatureState:
    """Set these columns of a state and of its value, and replace its shares unless they are None."""
    if state.identity_id is None:
        require_direct_writes(state.environment)
    for name, content in columns.items():
        setattr(state, name, content)
    state.save()
    if value:
        _set(getattr(state, "feature_state_value", None) or FeatureStateValue(feature_state=state), value)
    if shares is not None:
        report(SharesReplaced(state, set_shares(state, shares)))
    return state


def remove_states(states: QuerySet[FeatureState]) -> None:
    """Remove states with their values and shares, raw: each row's signal would look the others up.

    Announces and logs nothing: whoever calls says what goes.
    """
    for rows in (
        MultivariateFeatureStateValue.objects.filter(feature_state__in=states),
        FeatureStateValue.objects.filter(feature_state__in=states),
        states,
    ):
        rows._raw_delete(rows.db)


def initial_value(state: FeatureState) -> FeatureStateValue:
    """The value that a new state begins with; not saved."""
    value = FeatureStateValue(feature_state=state)
    plain = state.environment.project.prevent_flag_defaults
    value.value = None if plain else typed(state.feature.initial_value)
    return value


def set_shares(state: FeatureState, shares: Shares) -> changes.Shares:
    """Make these the shares of a state. Returns the percentages that are others now, before and after, by options."""
    return replace_shares({state: shares})[state.pk]


def replace_shares(wanted: Mapping[FeatureState, Shares]) -> dict[int, changes.Shares]:
    """``set_shares`` of many states, by their primary keys. The share of an option keeps its row.

    A constant number of queries, but for reading the shares of states that were read without them.
    """
    gone: list[int] = []
    new: list[MultivariateFeatureStateValue] = []
    changed: list[MultivariateFeatureStateValue] = []
    found = {}
    for state, shares in wanted.items():
        present = {each.multivariate_feature_option_id: each for each in state.multivariate_feature_state_values.all()}
        before = {option: share.percentage_allocation for option, share in present.items()}
        after = {share["multivariate_feature_option_id"]: share["percentage_allocation"] for share in shares}
        found[state.pk] = changes.changed_shares(before, after)
        for option in found[state.pk]:
            share = present.get(option)
            if share is None:
                share = MultivariateFeatureStateValue(feature_state=state, multivariate_feature_option_id=option)
                new.append(share)
            elif option in after:
                changed.append(share)
            else:
                gone.append(share.pk)
                continue
            share.percentage_allocation = after[option]
        if found[state.pk]:
            effect = triggers.of_state(state)
            versions.announce(effect.environments, silent=effect.silent)
    report(AboutToChangeStates(Place.of(state) for state in wanted if found[state.pk]))
    # Raw: each row's signal would ask for its state.
    rows = MultivariateFeatureStateValue.objects.filter(pk__in=gone)
    rows._raw_delete(rows.db)
    MultivariateFeatureStateValue.objects.bulk_update(changed, ["percentage_allocation"])
    MultivariateFeatureStateValue.objects.bulk_create(new)
    return found


def _set(value: FeatureStateValue, columns: Columns) -> None:
    for name, content in columns.items():
        setattr(value, name, content)
    value.save()
