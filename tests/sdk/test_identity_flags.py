"""``identities/``: the flags of an identity."""

from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureState
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from segments.models import Condition, Segment, SegmentRule
from tests.sdk.test_identities import URL, identify, stored, traits

pytestmark = pytest.mark.django_db


def test_flag__identity_in_a_segment__segments_override(
    sdk: APIClient, feature: Feature, segment: Segment, override: Callable[..., FeatureState]
) -> None:
    state = override(feature, "professional", segment)
    (flag,) = identify(sdk, identifier="ada", traits=traits(plan="pro"))["flags"]
    assert (flag["id"], flag["feature_segment"], flag["identity"]) == (state.pk, state.feature_segment_id, None)
    assert (flag["enabled"], flag["feature_state_value"]) == (True, "professional")
    (flag,) = identify(sdk, identifier="bob", traits=traits(plan="free"))["flags"]
    assert (flag["enabled"], flag["feature_segment"]) == (False, None)


def test_flag__identity_in_two_segments__lower_priority_number_wins(
    sdk: APIClient, feature: Feature, segment: Segment, override: Callable[..., FeatureState]
) -> None:
    other = Segment.objects.create(name="all", project=feature.project)
    rule = SegmentRule.objects.create(segment=other, type="ALL")
    Condition.objects.create(rule=rule, operator="IS_SET", property="plan")
    override(feature, "professional", segment, priority=1)
    override(feature, "all", other, priority=0)
    (flag,) = identify(sdk, identifier="ada", traits=traits(plan="pro"))["flags"]
    assert flag["feature_state_value"] == "all"


def test_flag__identity_override__precedes_segment_overrides(
    sdk: APIClient, environment: Environment, feature: Feature, segment: Segment, override: Callable[..., FeatureState]
) -> None:
    override(feature, "professional", segment)
    identity = environment.identities.create(identifier="ada")
    state = override(feature, "hers", identity=identity, enabled=False)
    for response in (
        identify(sdk, identifier="ada", traits=traits(plan="pro")),
        sdk.get(URL, {"identifier": "ada"}).json(),
    ):
        (flag,) = response["flags"]
        assert (flag["id"], flag["identity"], flag["feature_segment"]) == (state.pk, identity.pk, None)
        assert (flag["enabled"], flag["feature_state_value"]) == (False, "hers")


def test_flag__override_in_another_environment__ignored(
    sdk: APIClient, production: Environment, feature: Feature, override: Callable[..., FeatureState]
) -> None:
    foreign_identity = production.identities.create(identifier="ada")
    override(feature, "elsewhere", identity=foreign_identity, environment=production)
    (flag,) = identify(sdk, identifier="ada")["flags"]
    assert flag["feature_state_value"] is None


def test_flag__identity_override_not_in_the_document__used(
    sdk: APIClient, server: APIClient, environment: Environment, feature: Feature, override: Callable[..., FeatureState]
) -> None:
    override(feature, "hers", identity=environment.identities.create(identifier="ada"))
    environment.use_identity_overrides_in_local_eval = False
    environment.save()
    assert server.get("/api/v1/environment-document/").json()["identity_overrides"] == []
    assert identify(sdk, identifier="ada")["flags"][0]["feature_state_value"] == "hers"


def test_flag__one_feature_requested__one_object(sdk: APIClient, make_feature: Callable[..., Feature]) -> None:
    make_feature("one")
    make_feature("two")
    response = sdk.get(URL, {"identifier": "ada", "feature": "two"})
    assert response.status_code == 200
    assert response.json()["feature"]["name"] == "two"
    assert list(response.json())[-1] == "variant"


def test_flag__unknown_feature_requested__404(sdk: APIClient, feature: Feature) -> None:
    response = sdk.get(URL, {"identifier": "ada", "feature": "nope"})
    assert (response.status_code, response.json()) == (404, {"detail": "Given feature not found"})


def test_identity__sensitive_data_hidden__no_traits(
    sdk: APIClient, environment: Environment, feature: Feature, segment: Segment, override: Callable[..., FeatureState]
) -> None:
    override(feature, "professional", segment)
    environment.hide_sensitive_data = True
    environment.save()
    response = identify(sdk, identifier="ada", traits=traits(plan="pro"))
    assert response["traits"] == []
    (flag,) = response["flags"]
    assert [flag[name] for name in ("id", "environment", "identity", "feature_segment")] == [None] * 4
    assert flag["feature_state_value"] == "professional"
    assert flag["feature"]["created_date"] is None
    assert stored() == {"plan": "pro"}


# Percentages of a multivariate feature.


@pytest.fixture
def split(environment: Environment, make_feature: Callable[..., Feature]) -> Callable[..., FeatureState]:
    """Create a feature with the options "a" (key "first") and "b" (without key) for these percentages of identities."""

    def make(a: float, b: float) -> FeatureState:
        feature = make_feature("split", type="MULTIVARIATE", initial_value="own")
        state = FeatureState.objects.get(feature=feature)
        for value, key, percentage in (("a", "first", a), ("b", None, b)):
            option = MultivariateFeatureOption.objects.create(feature=feature, string_value=value, key=key)
            MultivariateFeatureStateValue.objects.create(
                feature_state=state, multivariate_feature_option=option, percentage_allocation=percentage
            )
        return state

    return make


@pytest.mark.parametrize(
    "percentages, value, variant", [((100, 0), "a", "first"), ((0, 100), "b", None), ((0, 0), "own", "control")]
)
def test_split__all_to_one_option__value_and_variant(
    percentages: tuple[float, float],
    value: str,
    variant: str | None,
    sdk: APIClient,
    split: Callable[..., FeatureState],
) -> None:
    split(*percentages)
    (flag,) = identify(sdk, identifier="ada")["flags"]
    assert (flag["feature_state_value"], flag["variant"]) == (value, variant)
    assert sdk.get("/api/v1/flags/").json()[0]["feature_state_value"] == "own"


@pytest.mark.parametrize("composite", [True, False])
@pytest.mark.slow
def test_split__many_identities__stable_and_near_the_percentages(
    composite: bool, sdk: APIClient, environment: Environment, split: Callable[..., FeatureState]
) -> None:
    environment.use_identity_composite_key_for_hashing = composite
    environment.save()
    split(30, 20)

    def values_by_identifier() -> dict[str, str]:
        return {
            name: identify(sdk, identifier=name)["flags"][0]["feature_state_value"]
            for name in (f"user-{number}" for number in range(150))
        }

    first = values_by_identifier()
    assert values_by_identifier() == first
    counts = {value: list(first.values()).count(value) for value in ("a", "b", "own")}
    assert 20 < counts["a"] < 75
    assert 10 < counts["b"] < 55
    assert 45 < counts["own"] < 105


def test_split__identity_override_with_percentages__used_in_response_and_document(
    sdk: APIClient,
    server: APIClient,
    environment: Environment,
    split: Callable[..., FeatureState],
    override: Callable[..., FeatureState],
) -> None:
    default = split(0, 0)
    state = override(default.feature, "own", identity=environment.identities.create(identifier="ada"))
    option = MultivariateFeatureOption.objects.get(string_value="b")
    MultivariateFeatureStateValue.objects.create(
        feature_state=state, multivariate_feature_option=option, percentage_allocation=100
    )
    (flag,) = identify(sdk, identifier="ada")["flags"]
    assert (flag["id"], flag["feature_state_value"], flag["variant"]) == (state.pk, "b", None)
    (identity,) = server.get("/api/v1/environment-document/").json()["identity_overrides"]
    assert identity["identity_features"][0]["feature_state_value"] == "b"
