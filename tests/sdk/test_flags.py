"""``flags/``: the environment's defaults."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureState
from organisations.models import Organisation
from projects.models import Project
from realtime.types import epoch_seconds
from segments.models import Segment

pytestmark = pytest.mark.django_db

VERSION = "X-Flagsmith-Document-Updated-At"


def names(response: Any) -> list[str]:
    assert response.status_code == 200
    return [flag["feature"]["name"] for flag in response.json()]


def test_flags__one_feature__fields_and_order_as_in_flagsmith(
    sdk: APIClient, environment: Environment, make_feature: Callable[..., Feature]
) -> None:
    feature = make_feature("size", initial_value="12", default_enabled=True, description="How large")
    state = FeatureState.objects.get(feature=feature)
    response = sdk.get("/api/v1/flags/")
    assert response.status_code == 200
    assert response.headers["Content-Type"] == "application/json"
    expected = {
        "id": state.pk,
        "feature": {
            "id": feature.pk,
            "name": "size",
            "created_date": feature.created_date.isoformat().replace("+00:00", "Z"),
            "description": "How large",
            "initial_value": "12",
            "default_enabled": True,
            "type": "STANDARD",
        },
        "feature_state_value": 12,
        "environment": environment.pk,
        "identity": None,
        "feature_segment": None,
        "enabled": True,
    }
    assert response.json() == [expected]
    assert list(response.json()[0]) == list(expected)
    assert list(response.json()[0]["feature"]) == list(expected["feature"])


def test_flags__any__version_header(sdk: APIClient, environment: Environment) -> None:
    environment.refresh_from_db()
    assert sdk.get("/api/v1/flags/").headers[VERSION] == epoch_seconds(environment.updated_at)


def test_flags__any__vary_by_environment_key(sdk: APIClient, feature: Feature) -> None:
    assert "x-environment-key" in sdk.get("/api/v1/flags/").headers["Vary"].lower()


@pytest.mark.parametrize("value", ["text", "", 7, -7, True, False, None, "Ünï \u2028", '"quoted"'])
def test_flags__value__keeps_its_type(value: object, sdk: APIClient, feature: Feature, state: FeatureState) -> None:
    state.feature_state_value.value = value
    state.feature_state_value.save()
    found = sdk.get("/api/v1/flags/").json()[0]["feature_state_value"]
    assert (type(found), found) == (type(value), value)


def test_flags__with_overrides__only_defaults(
    sdk: APIClient, environment: Environment, feature: Feature, segment: Segment, override: Callable[..., FeatureState]
) -> None:
    override(feature, "professional", segment)
    override(feature, "hers", identity=environment.identities.create(identifier="ada"))
    assert [flag["feature_state_value"] for flag in sdk.get("/api/v1/flags/").json()] == [None]


def test_flags__unpublished_feature_state__left_out(sdk: APIClient, environment: Environment, feature: Feature) -> None:
    FeatureState.objects.create(feature=feature, environment=environment, enabled=True, version=None)
    assert [flag["enabled"] for flag in sdk.get("/api/v1/flags/").json()] == [False]


def test_flags__changed_in_another_environment__unchanged(
    sdk: APIClient, production: Environment, environment: Environment, make_feature: Callable[..., Feature]
) -> None:
    feature = make_feature()
    state = FeatureState.objects.get(feature=feature, environment=production)
    state.enabled = True
    state.save()
    assert [flag["enabled"] for flag in sdk.get("/api/v1/flags/").json()] == [False]


def test_flags__one_feature_requested__one_object(sdk: APIClient, make_feature: Callable[..., Feature]) -> None:
    make_feature("one")
    make_feature("two")
    response = sdk.get("/api/v1/flags/?feature=two")
    assert response.status_code == 200
    assert response.json()["feature"]["name"] == "two"


@pytest.mark.parametrize("name", ["nope", "", "\0"])
def test_flags__unknown_feature_requested__404(name: str, sdk: APIClient, feature: Feature) -> None:
    response = sdk.get("/api/v1/flags/", {"feature": name})
    assert (response.status_code, response.json()) == (404, {"detail": "Given feature not found"})


@pytest.mark.parametrize(
    "environment_setting, project_setting, visible",
    [
        (None, False, ["off", "on"]),
        (None, True, ["on"]),
        (False, True, ["off", "on"]),
        (True, False, ["on"]),
    ],
)
def test_flags__disabled_flags_hidden__environments_setting_overrides_the_projects(
    environment_setting: bool | None,
    project_setting: bool,
    visible: list[str],
    sdk: APIClient,
    environment: Environment,
    project: Project,
    make_feature: Callable[..., Feature],
) -> None:
    make_feature("off")
    make_feature("on", default_enabled=True)
    environment.hide_disabled_flags, project.hide_disabled_flags = environment_setting, project_setting
    environment.save()
    project.save()
    assert names(sdk.get("/api/v1/flags/")) == visible
    identity = sdk.get("/api/v1/identities/?identifier=ada").json()
    assert [flag["feature"]["name"] for flag in identity["flags"]] == visible
    for path in ("/api/v1/flags/?feature=off", "/api/v1/identities/?identifier=ada&feature=off"):
        assert sdk.get(path).status_code == (200 if "off" in visible else 404)


def test_flags__server_side_feature__only_with_a_server_side_key(
    sdk: APIClient, server: APIClient, make_feature: Callable[..., Feature]
) -> None:
    make_feature("public")
    server_side = make_feature("secret", is_server_key_only=True)
    assert names(sdk.get("/api/v1/flags/")) == ["public"]
    assert names(server.get("/api/v1/flags/")) == ["public", "secret"]
    for path in ("/api/v1/flags/?feature=secret", "/api/v1/identities/?identifier=ada&feature=secret"):
        assert sdk.get(path).status_code == 404
        assert server.get(path).status_code == 200
    document = server.get("/api/v1/environment-document/").json()
    assert document["project"]["server_key_only_feature_ids"] == [server_side.pk]


def test_flags__sensitive_data_hidden__other_fields_are_null(
    sdk: APIClient, environment: Environment, make_feature: Callable[..., Feature]
) -> None:
    feature = make_feature("size", initial_value="12", description="secret")
    environment.hide_sensitive_data = True
    environment.save()
    (flag,) = sdk.get("/api/v1/flags/").json()
    assert flag == {
        "id": None,
        "feature": {
            "id": feature.pk,
            "name": "size",
            "created_date": None,
            "description": None,
            "initial_value": None,
            "default_enabled": None,
            "type": "STANDARD",
        },
        "feature_state_value": 12,
        "environment": None,
        "identity": None,
        "feature_segment": None,
        "enabled": False,
    }


def test_flags__organisation_renamed__same_version(
    sdk: APIClient, environment: Environment, organisation: Organisation
) -> None:
    before = sdk.get("/api/v1/flags/").headers[VERSION]
    organisation.name = "Other"
    organisation.save()
    assert sdk.get("/api/v1/flags/").headers[VERSION] == before


def test_analytics__counts__200_with_null(sdk: APIClient) -> None:
    response = sdk.post("/api/v1/analytics/flags/", {"banner": 2, "unknown": "x"})
    assert (response.status_code, response.content) == (200, b"null")
    assert response.headers["Content-Type"] == "application/json"


@pytest.mark.parametrize("body", [[], "text", 5])
def test_analytics__not_an_object__400(body: object, sdk: APIClient) -> None:
    response = sdk.post("/api/v1/analytics/flags/", body)
    assert (response.status_code, response.json()) == (400, {"non_field_errors": ["Expected a JSON object."]})
