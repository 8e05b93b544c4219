"""Copies all overrides of an identity to another identity.

The writes are bulk writes, so they are announced here: silently, unless ``REALTIME_ANNOUNCE_IDENTITY_OVERRIDES`` is
set. Callers hold the environment's lock.
"""

from typing import Any

from django.db.models import QuerySet
from django.utils import timezone

from core.changes import report
from environments.identities.models import Identity
from features.changes import AboutToChangeStates, OverridesCopied, StateKey, StateSnapshot
from features.models import FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureStateValue
from features.values import VALUE_COLUMNS
from realtime.changes import triggers, versions


def clone_overrides(source: Identity, target: Identity) -> None:
    """Replace the overrides of ``target`` with copies of those of ``source``.

    A feature that both identities override keeps its row.
    """
    sources = {state.feature_id: state for state in _overrides(source)}
    targets = {state.feature_id: state for state in _overrides(target)}
    if {feature: _visible_to_sdks(state) for feature, state in sources.items()} == {
        feature: _visible_to_sdks(state) for feature, state in targets.items()
    }:
        return
    before = {feature: StateSnapshot.of(state) for feature, state in targets.items()}
    effect = triggers.of_state(next(iter([*sources.values(), *targets.values()])))
    versions.announce(effect.environments, silent=effect.silent)
    report(
        AboutToChangeStates(
            StateKey(target.environment_id, feature, identity_id=target.pk) for feature in {**targets, **sources}
        )
    )
    FeatureState.objects.filter(pk__in=[targets[feature].pk for feature in targets.keys() - sources.keys()]).delete()
    states = {
        feature: targets.get(feature)
        or FeatureState(environment_id=target.environment_id, feature_id=feature, identity=target)
        for feature in sources
    }
    _write_states(sources, states)
    _write_values(sources, states)
    _write_shares(sources, states)
    after = {
        feature: StateSnapshot.of(state)._replace(state_id=states[feature].pk) for feature, state in sources.items()
    }
    report(OverridesCopied(target, before, after))


def _overrides(identity: Identity) -> QuerySet[FeatureState]:
    states = FeatureState.objects.filter(identity=identity, version__isnull=False)
    return states.select_related("feature_state_value").prefetch_related("multivariate_feature_state_values")


def _visible_to_sdks(state: FeatureState) -> Any:
    shares = state.multivariate_feature_state_values.all()
    percentages = {share.multivariate_feature_option_id: share.percentage_allocation for share in shares}
    return state.enabled, state.feature_state_value.type, state.feature_state_value.value, percentages


def _write_states(sources: dict[int, FeatureState], states: dict[int, FeatureState]) -> None:
    now = timezone.now()
    for feature, state in states.items():
        state.enabled, state.updated_at = sources[feature].enabled, now
    FeatureState.objects.bulk_update((state for state in states.values() if state.pk), ["enabled", "updated_at"])
    FeatureState.objects.bulk_create(state for state in states.values() if not state.pk)


def _write_values(sources: dict[int, FeatureState], states: dict[int, FeatureState]) -> None:
    """Create or update the value of each state."""
    FeatureStateValue.objects.bulk_create(
        (
            FeatureStateValue(
                feature_state=states[feature],
                **{column: getattr(state.feature_state_value, column) for column in VALUE_COLUMNS},
            )
            for feature, state in sources.items()
        ),
        update_conflicts=True,
        unique_fields=["feature_state"],
        update_fields=VALUE_COLUMNS,
    )


def _write_shares(sources: dict[int, FeatureState], states: dict[int, FeatureState]) -> None:
    # Raw: a signal for each row would read its state.
    rows = MultivariateFeatureStateValue.objects.filter(feature_state__in=[state.pk for state in states.values()])
    rows._raw_delete(rows.db)
    MultivariateFeatureStateValue.objects.bulk_create(
        MultivariateFeatureStateValue(
            feature_state=states[feature],
            multivariate_feature_option_id=share.multivariate_feature_option_id,
            percentage_allocation=share.percentage_allocation,
        )
        for feature, state in sources.items()
        for share in state.multivariate_feature_state_values.all()
    )
