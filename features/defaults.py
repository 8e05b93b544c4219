"""Creates the initial feature states of new features and new environments."""

from collections.abc import Iterable

from environments.models import Environment
from features.models import Feature, FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from features.values import parse_initial_value
from projects.models import Project


def create_default_states(features: Iterable[Feature], environments: Iterable[Environment]) -> list[FeatureState]:
    """Create a live state of each feature in each environment. All belong to one project.

    States begin with the feature's ``default_enabled``, its ``initial_value`` and the default percentages of its
    options. In a project with ``prevent_flag_defaults`` they are off and have no value. Uses a constant number of
    queries (SQLite splits large inserts). The caller announces the environments and reports the change.
    """
    features, environments = list(features), list(environments)
    if not features or not environments:
        return []
    prevent_defaults = Project.objects.filter(pk=features[0].project_id, prevent_flag_defaults=True).exists()
    states = FeatureState.objects.bulk_create(
        [
            FeatureState(
                feature=feature, environment=environment, enabled=feature.default_enabled and not prevent_defaults
            )
            for environment in environments
            for feature in features
        ]
    )
    values = [FeatureStateValue(feature_state=state) for state in states]
    for value in values:
        value.value = None if prevent_defaults else parse_initial_value(value.feature_state.feature.initial_value)
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
