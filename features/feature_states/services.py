"""Writing feature states: a state, its value and its shares are rows of their own, and change together.

Callers hold the environment's lock. A state and its value are saved one by one, so signals announce them; shares are
written in bulk and announced here.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from django.utils import timezone
from rest_framework.exceptions import ValidationError

from audit import bulk
from audit.recording import record
from environments.models import Environment
from features.models import Feature, FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureStateValue
from features.values import typed
from realtime import versions, watch

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
        record(bulk.shares_replaced(state, set_shares(state, shares)))
    return state


def initial_value(state: FeatureState) -> FeatureStateValue:
    """The value that a new state begins with; not saved."""
    value = FeatureStateValue(feature_state=state)
    plain = state.environment.project.prevent_flag_defaults
    value.value = None if plain else typed(state.feature.initial_value)
    return value


def set_shares(state: FeatureState, shares: Shares) -> bulk.Shares:
    """Make these the shares of a state. The share of an option keeps its row; a constant number of queries.

    Returns the percentages before and after, by the options whose share is another one now.
    """
    present = {share.multivariate_feature_option_id: share for share in state.multivariate_feature_state_values.all()}
    wanted = {share["multivariate_feature_option_id"]: share["percentage_allocation"] for share in shares}
    gone = [share.pk for option, share in present.items() if option not in wanted]
    new = [
        MultivariateFeatureStateValue(
            feature_state=state, multivariate_feature_option_id=option, percentage_allocation=percentage
        )
        for option, percentage in wanted.items()
        if option not in present
    ]
    changed = [
        share for option, share in present.items() if wanted.get(option, ...) not in (..., share.percentage_allocation)
    ]
    if not (gone or new or changed):
        return {}
    before = {option: share.percentage_allocation for option, share in present.items()}
    effect = watch.of_state(state)
    versions.announce(effect.environments, silent=effect.silent)
    # Raw: each row's signal would ask for its state.
    rows = MultivariateFeatureStateValue.objects.filter(pk__in=gone)
    rows._raw_delete(rows.db)
    for share in changed:
        share.percentage_allocation = wanted[share.multivariate_feature_option_id]
    MultivariateFeatureStateValue.objects.bulk_update(changed, ["percentage_allocation"])
    MultivariateFeatureStateValue.objects.bulk_create(new)
    return bulk.changed_shares(before, wanted)


def _set(value: FeatureStateValue, columns: Columns) -> None:
    for name, content in columns.items():
        setattr(value, name, content)
    value.save()
