"""Default states of new features and environments: values, number of queries and events."""

from collections.abc import Callable

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from environments.models import Environment
from features.defaults import create_default_states
from features.models import Feature, FeatureState
from features.multivariate.models import MultivariateFeatureOption
from projects.models import Project
from tests.support.events import recorded_events

ENVIRONMENTS = "/api/v1/environments/"

pytestmark = pytest.mark.django_db


def states_of(environment: Environment) -> dict[str, tuple[bool, object]]:
    states = FeatureState.objects.filter(environment=environment).select_related("feature", "feature_state_value")
    return {state.feature.name: (state.enabled, state.feature_state_value.value) for state in states}


@pytest.fixture
def features(project: Project, make_feature: Callable[..., Feature]) -> list[Feature]:
    return [
        make_feature("on", default_enabled=True),
        make_feature("number", initial_value="12"),
        make_feature("switch", initial_value="True"),
        make_feature("text", initial_value="12.5"),
        make_feature("empty", initial_value=""),
        make_feature("large", initial_value="99999999999"),
    ]


def test_environment__created__each_feature_has_its_typed_default(
    admin: APIClient, project: Project, features: list[Feature]
) -> None:
    key = admin.post(ENVIRONMENTS, {"name": "Staging", "project": project.pk}, format="json").json()["api_key"]

    assert states_of(Environment.objects.get(api_key=key)) == {
        "on": (True, None),
        "number": (False, 12),
        "switch": (False, True),
        "text": (False, "12.5"),
        "empty": (False, ""),
        "large": (False, "99999999999"),
    }


def test_environment__created_with_prevent_flag_defaults__all_disabled_and_empty(
    admin: APIClient, project: Project, features: list[Feature]
) -> None:
    Project.objects.update(prevent_flag_defaults=True)

    key = admin.post(ENVIRONMENTS, {"name": "Staging", "project": project.pk}, format="json").json()["api_key"]

    assert set(states_of(Environment.objects.get(api_key=key)).values()) == {(False, None)}


def test_environment__created__multivariate_features_have_their_shares(
    admin: APIClient, project: Project, make_feature: Callable[..., Feature]
) -> None:
    feature = make_feature("split", type="MULTIVARIATE")
    for text, percentage in (("a", 30), ("b", 20)):
        MultivariateFeatureOption.objects.create(
            feature=feature, string_value=text, default_percentage_allocation=percentage
        )

    environment = admin.post(ENVIRONMENTS, {"name": "Staging", "project": project.pk}, format="json").json()["id"]

    state = FeatureState.objects.get(environment=environment)
    shares = state.multivariate_feature_state_values.values_list(
        "multivariate_feature_option__string_value", "percentage_allocation"
    )
    assert list(shares) == [("a", 30), ("b", 20)]


def test_default_states__more_features_and_environments__same_number_of_queries(
    project: Project, environment: Environment
) -> None:
    def count_queries(names: list[str], environments: list[Environment]) -> int:
        features = [Feature.objects.create(name=name, project=project) for name in names]
        for feature in features:
            MultivariateFeatureOption.objects.create(feature=feature, string_value="a")
        with CaptureQueriesContext(connection) as queries:
            create_default_states(features, environments)
        return len(queries)

    before = count_queries(["a"], [environment])
    more = [Environment.objects.create(name=str(number), project=project) for number in range(3)]

    assert count_queries(["b", "c", "d"], [environment, *more]) == before == 5


def test_default_states__no_features__no_query(django_assert_num_queries: Callable[..., object]) -> None:
    with django_assert_num_queries(0):
        create_default_states([], [])


@pytest.mark.django_db(transaction=True)
def test_environment__created__one_event_for_it_only(
    admin: APIClient, project: Project, environment: Environment, features: list[Feature]
) -> None:
    new = Environment(api_key="staging-key")
    body = {"name": "Staging", "project": project.pk, "api_key": new.api_key}

    with recorded_events(environment, new) as recorded:
        assert admin.post(ENVIRONMENTS, body, format="json").status_code == 201

    assert recorded.of(new) == [Environment.objects.get(api_key=new.api_key).updated_at]
    assert recorded.of(environment) == []


@pytest.mark.django_db(transaction=True)
def test_environment__deleted__no_event(
    admin: APIClient, environment: Environment, production: Environment, features: list[Feature]
) -> None:
    with recorded_events(environment, production) as recorded:
        assert admin.delete(f"{ENVIRONMENTS}{environment.api_key}/").status_code == 204

    assert recorded.events == []
    assert not FeatureState.objects.filter(environment=environment.pk).exists()
    assert FeatureState.objects.filter(environment=production).count() == len(features)
