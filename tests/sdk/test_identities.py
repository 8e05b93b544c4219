"""``identities/``: storage of identities and traits, and the traits in the response."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment
from features.models import Feature, FeatureState
from organisations.models import Organisation
from realtime.types import epoch_seconds
from segments.models import Segment

pytestmark = pytest.mark.django_db

URL = "/api/v1/identities/"


def identify(client: APIClient, **body: Any) -> Any:
    response = client.post(URL, body)
    assert response.status_code == 200, response.content
    return response.json()


def traits(**values: Any) -> list[dict[str, Any]]:
    return [{"trait_key": key, "trait_value": value} for key, value in values.items()]


def traits_in(response: Any) -> dict[str, Any]:
    return {trait["trait_key"]: trait["trait_value"] for trait in response["traits"]}


def stored(identifier: str = "ada") -> dict[str, Any]:
    return {trait.trait_key: trait.trait_value for trait in Trait.objects.filter(identity__identifier=identifier)}


def test_identity__get_of_a_new_one__stored(sdk: APIClient, environment: Environment, feature: Feature) -> None:
    response = sdk.get(URL, {"identifier": "ada"})
    assert response.status_code == 200
    assert response.json()["identifier"] == "ada"
    assert response.json()["traits"] == []
    assert [flag["feature"]["name"] for flag in response.json()["flags"]] == ["banner"]
    assert Identity.objects.get().environment == environment


@pytest.mark.parametrize("method", ["get", "post"])
def test_identity__any__version_header(method: str, sdk: APIClient, environment: Environment) -> None:
    response = getattr(sdk, method)(URL, {"identifier": "ada"})
    environment.refresh_from_db()
    assert response.headers["X-Flagsmith-Document-Updated-At"] == epoch_seconds(environment.updated_at)


@pytest.mark.parametrize("query", [{}, {"identifier": ""}, {"transient": "true"}])
def test_identity__get_without_identifier__400(query: dict[str, str], sdk: APIClient) -> None:
    response = sdk.get(URL, query)
    assert (response.status_code, response.json()) == (400, {"detail": "Missing identifier"})


@pytest.mark.parametrize(
    "query, field",
    [
        ({"identifier": "x" * 2_001}, "identifier"),
        ({"identifier": "語" * 1_000}, "identifier"),
        ({"identifier": "a\0b"}, "identifier"),
        ({"identifier": "ada", "transient": "maybe"}, "transient"),
    ],
)
def test_identity__bad_query__400_naming_the_field(query: dict[str, str], field: str, sdk: APIClient) -> None:
    response = sdk.get(URL, query)
    assert response.status_code == 400
    assert list(response.json()) == [field]
    assert not Identity.objects.exists()


@pytest.mark.parametrize("identifier", ["a" * 2_000, "語" * 800, " spaced ", "42", "ada+1@example.com", "'; --", "%00"])
def test_identity__any_identifier__used_unchanged(identifier: str, sdk: APIClient) -> None:
    assert sdk.get(URL, {"identifier": identifier}).json()["identifier"] == identifier
    assert identify(sdk, identifier=identifier)["identifier"] == identifier
    assert Identity.objects.get().identifier == identifier


def test_identity__post__fields_and_order_as_in_flagsmith(
    sdk: APIClient, environment: Environment, feature: Feature, state: FeatureState
) -> None:
    response = identify(sdk, identifier="ada", traits=traits(plan="pro", n=3, x=1.5, yes=True))
    ids = list(Trait.objects.order_by("pk").values_list("pk", flat=True))
    assert list(response) == ["identifier", "traits", "flags"]
    assert response["traits"] == [
        {"id": ids[0], "trait_key": "plan", "trait_value": "pro", "transient": False},
        {"id": ids[1], "trait_key": "n", "trait_value": 3, "transient": False},
        {"id": ids[2], "trait_key": "x", "trait_value": 1.5, "transient": False},
        {"id": ids[3], "trait_key": "yes", "trait_value": True, "transient": False},
    ]
    (flag,) = response["flags"]
    assert list(flag) == [
        "id",
        "feature",
        "feature_state_value",
        "environment",
        "identity",
        "feature_segment",
        "enabled",
        "variant",
    ]
    assert (flag["id"], flag["environment"], flag["variant"]) == (state.pk, environment.pk, None)


def test_identity__stored__keeps_traits_that_are_not_sent(sdk: APIClient) -> None:
    first = identify(sdk, identifier="ada", traits=traits(plan="pro", n=3))
    second = identify(sdk, identifier="ada", traits=traits(n=4, new="x"))
    assert traits_in(second) == {"plan": "pro", "n": 4, "new": "x"}
    assert second["traits"][:2] == [first["traits"][0], first["traits"][1] | {"trait_value": 4}]
    assert sdk.get(URL, {"identifier": "ada"}).json() == second
    assert Identity.objects.count() == 1


@pytest.mark.parametrize("before, after", [(1, True), (1, 1.0), ("1", 1), (True, "True")])
def test_trait__equal_value_of_another_type__replaced(before: Any, after: Any, sdk: APIClient) -> None:
    identify(sdk, identifier="ada", traits=traits(key=before))
    found = traits_in(identify(sdk, identifier="ada", traits=traits(key=after)))["key"]
    assert (type(found), found) == (type(after), after)


def test_trait__null__deleted(sdk: APIClient) -> None:
    identify(sdk, identifier="ada", traits=traits(plan="pro", n=3))
    assert traits_in(identify(sdk, identifier="ada", traits=traits(n=None, unknown=None))) == {"plan": "pro"}
    assert stored() == {"plan": "pro"}


def test_trait__twice_in_one_request__last_value_used(sdk: APIClient) -> None:
    twice = traits(plan="free") + traits(plan="pro")
    assert traits_in(identify(sdk, identifier="ada", traits=twice)) == {"plan": "pro"}
    assert stored() == {"plan": "pro"}


@pytest.mark.parametrize("value, taken", [([1, "a"], "[1, 'a']"), ({"a": 1}, "{'a': 1}")])
def test_trait__list_or_object__stored_as_string(value: Any, taken: str, sdk: APIClient) -> None:
    assert traits_in(identify(sdk, identifier="ada", traits=traits(key=value))) == {"key": taken}


@pytest.mark.parametrize(
    "body, path",
    [
        ({"identifier": "ada", "traits": 5}, ["traits", "non_field_errors"]),
        ({"identifier": "ada", "traits": [5]}, ["traits", 0, "non_field_errors"]),
        ({"identifier": "ada", "traits": [{"trait_key": "k"}]}, ["traits", 0, "trait_value"]),
        ({"identifier": "ada", "traits": [{"trait_value": 1}]}, ["traits", 0, "trait_key"]),
        ({"identifier": "ada", "traits": traits(**{"k" * 201: 1})}, ["traits", 0, "trait_key"]),
        ({"identifier": "ada", "traits": traits(**{"k\0": 1})}, ["traits", 0, "trait_key"]),
        ({"identifier": "ada", "traits": traits(k="v" * 2_001)}, ["traits", 0, "trait_value"]),
        ({"identifier": "ada", "traits": traits(k="v\0")}, ["traits", 0, "trait_value"]),
        ({"identifier": "ada", "traits": traits(k=["\0"] * 600)}, ["traits", 0, "trait_value"]),
        ({"identifier": "ada", "traits": traits(k=2**63)}, ["traits", 0, "trait_value"]),
        ({"identifier": "ada", "traits": traits(k=-(2**63) - 1)}, ["traits", 0, "trait_value"]),
        ({"identifier": "ada", "transient": "maybe"}, ["transient"]),
        ({"identifier": ["ada"]}, ["identifier"]),
        ({"identifier": True}, ["identifier"]),
        ({"identifier": "a\0"}, ["identifier"]),
        ({"identifier": "語" * 1_000}, ["identifier"]),
        ([], ["non_field_errors"]),
        ("ada", ["non_field_errors"]),
    ],
)
def test_identity__bad_body__400_and_nothing_stored(body: Any, path: list[str | int], sdk: APIClient) -> None:
    response = sdk.post(URL, body)
    assert response.status_code == 400, response.content
    found = response.json()
    for step in path:
        found = found[step]
    assert found
    assert not Identity.objects.exists()


@pytest.mark.parametrize("number", ["1e400", "-1e400", "NaN", "Infinity", "9" * 5_000])
def test_trait__not_a_finite_number__400(number: str, sdk: APIClient) -> None:
    body = '{"identifier": "ada", "traits": [{"trait_key": "k", "trait_value": %s}]}' % number  # noqa: UP031
    assert sdk.generic("POST", URL, body, content_type="application/json").status_code == 400
    assert not Identity.objects.exists()


@pytest.mark.parametrize("number", [2**63 - 1, -(2**63), 1.7976931348623157e308, 5e-324, -0.5])
def test_trait__extreme_number__stored_exactly(number: float, sdk: APIClient) -> None:
    assert traits_in(identify(sdk, identifier="ada", traits=traits(k=number))) == {"k": number}
    assert stored() == {"k": number}


@pytest.mark.parametrize("body", [{}, {"traits": None}, {"transient": None}])
def test_identity__null_for_an_optional_field__same_as_left_out(body: dict[str, Any], sdk: APIClient) -> None:
    assert identify(sdk, identifier="ada", **body)["traits"] == []


# Transient identities and traits.


def test_identity__transient__evaluates_and_stores_nothing(
    sdk: APIClient, feature: Feature, segment: Segment, override: Callable[..., FeatureState]
) -> None:
    override(feature, "professional", segment)
    response = identify(sdk, identifier="ghost", transient=True, traits=traits(plan="pro"))
    assert response["traits"] == [{"id": None, "trait_key": "plan", "trait_value": "pro", "transient": True}]
    assert [flag["feature_state_value"] for flag in response["flags"]] == ["professional"]
    assert sdk.get(URL, {"identifier": "ghost", "transient": "true"}).status_code == 200
    assert not Identity.objects.exists()


def test_identity__transient_and_stored__stored_traits_unchanged(
    sdk: APIClient, environment: Environment, feature: Feature, override: Callable[..., FeatureState]
) -> None:
    identify(sdk, identifier="ada", traits=traits(plan="free", n=3))
    override(feature, "hers", identity=environment.identities.get())
    response = identify(sdk, identifier="ada", transient=True, traits=traits(plan="pro", n=None))
    assert traits_in(response) == {"plan": "pro"}
    assert [flag["feature_state_value"] for flag in response["flags"]] == ["hers"]
    assert stored() == {"plan": "free", "n": 3}


def test_identity__transient_is_false__stored(sdk: APIClient) -> None:
    sdk.get(URL, {"identifier": "ada", "transient": "false"})
    assert Identity.objects.exists()


def test_trait__transient__used_for_one_response(sdk: APIClient) -> None:
    mixed = [*traits(plan="pro"), {"trait_key": "n", "trait_value": 3, "transient": True}]
    response = identify(sdk, identifier="ada", traits=mixed)
    assert traits_in(response) == {"plan": "pro", "n": 3}
    assert [trait["transient"] for trait in response["traits"]] == [False, True]
    assert stored() == {"plan": "pro"}


def test_trait__transient_and_stored__replaced_for_one_response(sdk: APIClient) -> None:
    identify(sdk, identifier="ada", traits=traits(plan="free"))
    response = identify(sdk, identifier="ada", traits=[{"trait_key": "plan", "trait_value": "pro", "transient": True}])
    assert response["traits"] == [{"id": None, "trait_key": "plan", "trait_value": "pro", "transient": True}]
    assert stored() == {"plan": "free"}


def test_traits__organisation_persists_none__used_and_not_stored(
    sdk: APIClient,
    organisation: Organisation,
    feature: Feature,
    segment: Segment,
    override: Callable[..., FeatureState],
) -> None:
    override(feature, "professional", segment)
    organisation.persist_trait_data = False
    organisation.save()
    response = identify(sdk, identifier="ada", traits=traits(plan="pro"))
    assert response["traits"] == [{"id": None, "trait_key": "plan", "trait_value": "pro", "transient": False}]
    assert [flag["feature_state_value"] for flag in response["flags"]] == ["professional"]
    assert not Trait.objects.exists()


def test_traits__client_side_key_may_not_set_them__ignored(
    sdk: APIClient, server: APIClient, environment: Environment
) -> None:
    environment.allow_client_traits = False
    environment.save()
    assert identify(sdk, identifier="ada", traits=traits(plan="pro"))["traits"] == []
    assert stored() == {}
    assert traits_in(identify(server, identifier="ada", traits=traits(plan="pro"))) == {"plan": "pro"}
    assert stored() == {"plan": "pro"}


@pytest.mark.parametrize("identifier", [{}, {"identifier": ""}, {"identifier": None}])
def test_identity__post_without_identifier__equal_traits_get_equal_identifiers(
    identifier: dict[str, Any], sdk: APIClient
) -> None:
    first = identify(sdk, **identifier, traits=traits(plan="pro", n=3))
    second = identify(sdk, **identifier, traits=traits(n=3, plan="pro"))
    other = identify(sdk, **identifier, traits=traits(plan="free", n=3))
    assert first["identifier"] == second["identifier"] != other["identifier"]
    assert [trait["transient"] for trait in first["traits"]] == [True, True]
    assert not Identity.objects.exists()


def test_identity__post_without_identifier_and_traits__new_identifier_each_time(sdk: APIClient) -> None:
    assert identify(sdk)["identifier"] != identify(sdk)["identifier"]


# Number of queries.


def test_identity__many_features_and_traits__few_queries(
    sdk: APIClient,
    make_feature: Callable[..., Feature],
    django_assert_max_num_queries: Callable[[int], Any],
) -> None:
    for number in range(20):
        make_feature(f"feature-{number}")
    body = {"identifier": "ada", "traits": traits(**{f"trait-{number}": number for number in range(50)})}
    # The key; the identity before and after; savepoint, lock, insert, lock, traits, insert; the document.
    with django_assert_max_num_queries(20):
        assert sdk.post(URL, body).status_code == 200
    # The key, the identity, the document.
    with django_assert_max_num_queries(9):
        assert sdk.post(URL, body).status_code == 200
