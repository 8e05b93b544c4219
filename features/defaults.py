"""The states that environments give features to begin with."""

from collections.abc import Iterable

from environments.models import Environment
from features.models import Feature, FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from features.values import typed
from projects.models import Project


def create_default_states(features: Iterable[Feature], environments: Iterable[Environment]) -> list[FeatureState]:
    """Give each of these environments a live state of each of these features, all of one project.

    A feature's ``default_enabled``, its ``initial_value`` and the default percentages of its options say what the state
    is; in a project with ``prevent_flag_defaults`` it is off and has no value. A handful of queries, however many
    states there are to make (SQLite splits large inserts). Announces and logs nothing: whoever calls says which
    environments change.
    """
    features, environments = list(features), list(environments)
    if not features or not environments:
        return []
    plain = Project.objects.filter(pk=features[0].project_id, prevent_flag_defaults=True).exists()
    states = FeatureState.objects.bulk_create(
        [
            FeatureState(feature=feature, environment=environment, enabled=feature.default_enabled and not plain)
            for environment in environments
            for feature in features
        ]
    )
    values = [FeatureStateValue(feature_state=state) for state in states]
    for value in values:
        value.value = None if plain else typed(value.feature_state.feature.initial_value)
    FeatureStateValue.objects.bulk_create(values)
    _create_multivariate_values(states, features)
    return states


def _create_multivariate_values(states: list[FeatureState], features: list[Feature]) -> None:
    options: dict[int, list[MultivariateFeatureOption]] = {}
    for option in MultivariateFeatureOption.objects.filter(feature__in=features):
        options.setdefault(option.feature_id, []).append(option)
    MultivariateFeatureStateValue.objects.bulk_create(
        [
            MultivariateFeatureStateValue(
                feature_state=state,
                multivariate_feature_option=option,
                percentage_allocation=option.default_percentage_allocation,
            )
            for state in states
            for option in options.get(state.feature_id, ())
        ]
    )
