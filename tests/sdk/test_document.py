"""The environment document, and the CORS headers of the SDK API."""

import json
import re
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureState
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from organisations.models import Organisation
from projects.models import Project
from realtime.types import epoch_seconds
from segments.models import Condition, Segment, SegmentRule

pytestmark = [pytest.mark.django_db, pytest.mark.database]

URL = "/api/v1/environment-document/"


def test_document__all_parts__fields_and_order_as_in_flagsmith(
    server: APIClient,
    environment: Environment,
    project: Project,
    organisation: Organisation,
    segment: Segment,
    make_feature: Callable[..., Feature],
    override: Callable[..., FeatureState],
) -> None:
    feature = make_feature("split", type="MULTIVARIATE", initial_value="own", default_enabled=True)
    default = FeatureState.objects.get(feature=feature)
    option = MultivariateFeatureOption.objects.create(feature=feature, string_value="a", key="first")
    multivariate_value = MultivariateFeatureStateValue.objects.create(
        feature_state=default, multivariate_feature_option=option, percentage_allocation=30
    )
    in_segment = override(feature, "professional", segment, priority=2)
    identity = environment.identities.create(identifier="ada")
    of_identity = override(feature, 5, identity=identity, enabled=False)
    environment.refresh_from_db()
    feature_json = {"id": feature.pk, "name": "split", "type": "MULTIVARIATE"}
    response = server.get(URL)
    assert response.headers["Content-Type"] == "application/json"
    (overridden,) = response.json()["identity_overrides"]
    expected = {
        "id": environment.pk,
        "api_key": environment.api_key,
        "project": {
            "id": project.pk,
            "name": "Web",
            "organisation": {
                "id": organisation.pk,
                "name": "Acme",
                "feature_analytics": False,
                "stop_serving_flags": False,
                "persist_trait_data": True,
            },
            "hide_disabled_flags": False,
            "segments": [
                {
                    "id": segment.pk,
                    "name": "professionals",
                    "rules": [
                        {
                            "type": "ALL",
                            "rules": [
                                {
                                    "type": "ANY",
                                    "rules": [],
                                    "conditions": [{"operator": "EQUAL", "value": "pro", "property_": "plan"}],
                                }
                            ],
                            "conditions": [],
                        }
                    ],
                    "feature_states": [
                        {
                            "feature": feature_json,
                            "enabled": True,
                            "django_id": in_segment.pk,
                            "feature_segment": {"priority": 2},
                            "featurestate_uuid": str(in_segment.uuid),
                            "feature_state_value": "professional",
                            "multivariate_feature_state_values": [],
                        }
                    ],
                }
            ],
            "enable_realtime_updates": True,
            "server_key_only_feature_ids": [],
        },
        "feature_states": [
            {
                "feature": feature_json,
                "enabled": True,
                "django_id": default.pk,
                "feature_segment": None,
                "featurestate_uuid": str(default.uuid),
                "feature_state_value": "own",
                "multivariate_feature_state_values": [
                    {
                        "multivariate_feature_option": {"value": "a", "id": option.pk, "key": "first"},
                        "percentage_allocation": 30.0,
                        "id": multivariate_value.pk,
                        "mv_fs_value_uuid": str(multivariate_value.uuid),
                    }
                ],
            }
        ],
        "identity_overrides": [
            {
                "identifier": "ada",
                "environment_api_key": environment.api_key,
                "created_date": identity.created_date.isoformat(timespec="microseconds"),
                "identity_features": [
                    {
                        "feature": feature_json,
                        "enabled": False,
                        "django_id": of_identity.pk,
                        "feature_segment": None,
                        "featurestate_uuid": str(of_identity.uuid),
                        "feature_state_value": 5,
                        "multivariate_feature_state_values": [],
                    }
                ],
                "identity_traits": [],
                "identity_uuid": overridden["identity_uuid"],
                "django_id": identity.pk,
                "dashboard_alias": None,
                "composite_key": f"{environment.api_key}_ada",
            }
        ],
        "name": "Development",
        "allow_client_traits": True,
        "updated_at": environment.updated_at.isoformat(),
        "hide_sensitive_data": False,
        "hide_disabled_flags": None,
        "use_identity_composite_key_for_hashing": True,
        "use_identity_overrides_in_local_eval": True,
    }
    # Compared as text, which includes the order of the fields.
    assert json.dumps(response.json(), indent=1) == json.dumps(expected, indent=1)


def test_document__version__same_microsecond_in_body_and_header(server: APIClient, environment: Environment) -> None:
    for microsecond in (0, 1, 999_999, 123_456):
        moment = timezone.now().replace(microsecond=microsecond)
        Environment.objects.filter(pk=environment.pk).update(updated_at=moment)
        response = server.get(URL)
        assert response.json()["updated_at"] == moment.isoformat(timespec="microseconds")
        assert response.json()["updated_at"].endswith(f".{microsecond:06d}+00:00")
        assert response.headers["X-Flagsmith-Document-Updated-At"] == epoch_seconds(moment)
        assert re.fullmatch(r"\d{10}\.\d{6}", response.headers["X-Flagsmith-Document-Updated-At"])


def test_document__identity_uuid__stable_and_unique(
    server: APIClient, environment: Environment, feature: Feature, override: Callable[..., FeatureState]
) -> None:
    for name in ("ada", "bob"):
        override(feature, name, identity=environment.identities.create(identifier=name))
    first, second = ([each["identity_uuid"] for each in server.get(URL).json()["identity_overrides"]] for _ in range(2))
    assert first == second
    assert len({uuid.UUID(each) for each in first}) == 2
    assert {uuid.UUID(each).version for each in first} == {4}


def test_document__identity_with_override_and_traits__traits_left_out(
    server: APIClient, environment: Environment, feature: Feature, override: Callable[..., FeatureState]
) -> None:
    override(feature, "hers", identity=environment.identities.create(identifier="ada"))
    before = server.get(URL).content
    server.post("/api/v1/identities/", {"identifier": "ada", "traits": [{"trait_key": "plan", "trait_value": "pro"}]})
    assert server.get(URL).content == before


def test_document__unpublished_feature_states__left_out(
    server: APIClient,
    environment: Environment,
    feature: Feature,
    segment: Segment,
    override: Callable[..., FeatureState],
) -> None:
    override(feature, "draft", segment, version=None)
    override(feature, "draft", identity=environment.identities.create(identifier="ada"), version=None)
    document = server.get(URL).json()
    assert document["project"]["segments"][0]["feature_states"] == []
    assert document["identity_overrides"] == []
    assert len(document["feature_states"]) == 1


@pytest.mark.parametrize(
    "operator, stored, served",
    [
        ("EQUAL", None, ""),
        ("PERCENTAGE_SPLIT", None, ""),
        ("IN", None, ""),
        ("IS_SET", None, None),
        ("IS_SET", "x", "x"),
    ],
)
def test_condition__without_value__null_only_if_the_operator_has_no_value(
    operator: str, stored: str | None, served: str | None, server: APIClient, segment: Segment
) -> None:
    Condition.objects.update(operator=operator, value=stored)
    rules = server.get(URL).json()["project"]["segments"][0]["rules"]
    assert rules[0]["rules"][0]["conditions"] == [{"operator": operator, "value": served, "property_": "plan"}]


def test_rules__in_a_cycle__200(server: APIClient, segment: Segment) -> None:
    outer = SegmentRule.objects.get(segment=segment)
    SegmentRule.objects.filter(pk=outer.pk).update(rule=SegmentRule.objects.get(rule=outer))
    assert server.get(URL).status_code == 200


def test_rows__of_another_project__left_out(
    server: APIClient, environment: Environment, organisation: Organisation, override: Callable[..., FeatureState]
) -> None:
    """No endpoint stores such rows. If there are some, everything else is served."""
    other = Project.objects.create(name="Other", organisation=organisation)
    feature = Feature.objects.create(name="foreign", project=other)
    override(feature, "x")
    own = Feature.objects.create(name="own", project=environment.project)
    override(own, "x", Segment.objects.create(name="foreign", project=other))
    state = override(own, "x")
    option = MultivariateFeatureOption.objects.create(feature=feature, string_value="foreign")
    MultivariateFeatureStateValue.objects.create(
        feature_state=state, multivariate_feature_option=option, percentage_allocation=100
    )
    document = server.get(URL).json()
    assert [each["feature"]["name"] for each in document["feature_states"]] == ["own"]
    assert document["feature_states"][0]["multivariate_feature_state_values"] == []
    assert document["project"]["segments"] == []


def test_document_of_admin_api__admin__same_bytes(
    admin: APIClient, server: APIClient, environment: Environment, feature: Feature
) -> None:
    by_admin, by_sdk = admin.get(f"/api/v1/environments/{environment.api_key}/document/"), server.get(URL)
    assert by_admin.status_code == by_sdk.status_code == 200
    assert by_admin.content == by_sdk.content


@pytest.mark.parametrize("caller, status", [("anonymous", 401), ("outsider", 404), ("sdk", 401)])
def test_document_of_admin_api__other_callers__4xx(
    caller: str, status: int, request: pytest.FixtureRequest, environment: Environment
) -> None:
    client = request.getfixturevalue(caller)
    assert client.get(f"/api/v1/environments/{environment.api_key}/document/").status_code == status


# CORS.

REQUEST_HEADERS = (
    "x-environment-key",
    "content-type",
    "flagsmith-sdk-user-agent",
    "flagsmith-application-name",
    "flagsmith-application-version",
    # Headers that tracing libraries add to every request of a page.
    "sentry-trace",
    "baggage",
    "traceparent",
    "tracestate",
    "x-requested-with",
)


def cors(response: Any) -> dict[str, str]:
    prefix = "access-control-"
    return {
        name.lower().removeprefix(prefix): value
        for name, value in response.headers.items()
        if name.lower().startswith(prefix)
    }


@pytest.mark.parametrize("path", ["flags/", "identities/", "traits/", "traits/bulk/", "analytics/flags/"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_preflight__any_origin_without_key__allowed(path: str, method: str, anonymous: APIClient) -> None:
    headers = ", ".join(REQUEST_HEADERS)
    response = anonymous.options(
        f"/api/v1/{path}",
        headers={
            "Origin": "https://shop.example",
            "Access-Control-Request-Method": method,
            "Access-Control-Request-Headers": headers,
        },
    )
    found = cors(response)
    assert response.status_code == 200
    assert found["allow-origin"] == "*"
    assert method in found["allow-methods"]
    assert set(REQUEST_HEADERS) <= set(found["allow-headers"].split(", "))
    assert int(found["max-age"]) >= 3_600


@pytest.mark.parametrize("path", ["flags/", "identities/?identifier=ada", "flags/?feature=nope"])
def test_response__to_another_origin__version_header_is_readable(path: str, sdk: APIClient) -> None:
    response = sdk.get(f"/api/v1/{path}", headers={"Origin": "https://shop.example"})
    assert cors(response)["allow-origin"] == "*"
    assert "x-flagsmith-document-updated-at" in cors(response)["expose-headers"]


def test_error__to_another_origin__readable(anonymous: APIClient) -> None:
    response = anonymous.get("/api/v1/flags/", headers={"Origin": "https://shop.example"})
    assert (response.status_code, cors(response)["allow-origin"]) == (403, "*")
