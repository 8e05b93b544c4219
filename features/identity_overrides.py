"""An identity's overrides, all of them at once.

Bulk writes throughout, so each writer announces first, in silence unless ``REALTIME_ANNOUNCE_IDENTITY_OVERRIDES`` says
otherwise. Callers hold the environment's lock.
"""

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from core.changes import report
from environments.identities.models import Identity
from features.changes import AboutToChangeStates, OverridesCopied, Place, Stored
from features.models import FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureStateValue
from features.values import COLUMNS
from realtime.changes import triggers, versions


def clone_overrides(source: Identity, target: Identity) -> None:
    """Give ``target`` the overrides of ``source``, and no others. What both override keeps its row."""
    wanted = {state.feature_id: state for state in _overrides(source)}
    present = {state.feature_id: state for state in _overrides(target)}
    if {feature: _read(state) for feature, state in wanted.items()} == {
        feature: _read(state) for feature, state in present.items()
    }:
        return
    before = {feature: Stored.of(state) for feature, state in present.items()}
    effect = triggers.of_state(next(iter([*wanted.values(), *present.values()])))
    versions.announce(effect.environments, silent=effect.silent)
    report(
        AboutToChangeStates(
            Place(target.environment_id, feature, identity_id=target.pk) for feature in {**present, **wanted}
        )
    )
    FeatureState.objects.filter(pk__in=[present[feature].pk for feature in present.keys() - wanted.keys()]).delete()
    states = {
        feature: present.get(feature)
        or FeatureState(environment_id=target.environment_id, feature_id=feature, identity=target)
        for feature in wanted
    }
    _write_states(wanted, states)
    _write_values(wanted, states)
    _write_shares(wanted, states)
    after = {feature: Stored.of(state)._replace(state_id=states[feature].pk) for feature, state in wanted.items()}
    report(OverridesCopied(target, before, after))


def _overrides(identity: Identity) -> QuerySet[FeatureState]:
    states = FeatureState.objects.filter(identity=identity, version__isnull=False)
    return states.select_related("feature_state_value").prefetch_related("multivariate_feature_state_values")


def _read(state: FeatureState) -> Any:
    """What SDKs read of a state."""
    shares = state.multivariate_feature_state_values.all()
    split = {share.multivariate_feature_option_id: share.percentage_allocation for share in shares}
    return state.enabled, state.feature_state_value.type, state.feature_state_value.value, split


def _write_states(wanted: dict[int, FeatureState], states: dict[int, FeatureState]) -> None:
    now = timezone.now()
    for feature, state in states.items():
        state.enabled, state.updated_at = wanted[feature].enabled, now
    FeatureState.objects.bulk_update((state for state in states.values() if state.pk), ["enabled", "updated_at"])
    FeatureState.objects.bulk_create(state for state in states.values() if not state.pk)


def _write_values(wanted: dict[int, FeatureState], states: dict[int, FeatureState]) -> None:
    """One row for each state, whether it has one already or not."""
    FeatureStateValue.objects.bulk_create(
        (
            FeatureStateValue(
                feature_state=states[feature],
                **{column: getattr(state.feature_state_value, column) for column in COLUMNS},
            )
            for feature, state in wanted.items()
        ),
        update_conflicts=True,
        unique_fields=["feature_state"],
        update_fields=COLUMNS,
    )


def _write_shares(wanted: dict[int, FeatureState], states: dict[int, FeatureState]) -> None:
    # Raw: each row's signal would ask for its state.
    rows = MultivariateFeatureStateValue.objects.filter(feature_state__in=[state.pk for state in states.values()])
    rows._raw_delete(rows.db)
    MultivariateFeatureStateValue.objects.bulk_create(
        MultivariateFeatureStateValue(
            feature_state=states[feature],
            multivariate_feature_option_id=share.multivariate_feature_option_id,
            percentage_allocation=share.percentage_allocation,
        )
        for feature, state in wanted.items()
        for share in state.multivariate_feature_state_values.all()
    )
