"""``environments/{api_key}/features/{feature}/create-segment-override/``: a segment override in one request."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from projects.models import Project
from segments.models import Segment

pytestmark = pytest.mark.django_db


@pytest.fixture
def body(segment: Segment) -> dict[str, Any]:
    return {
        "feature_segment": {"segment": segment.pk},
        "enabled": True,
        "feature_state_value": {"type": "unicode", "string_value": "v"},
    }


def test_override__created__has_the_initial_value(
    admin: APIClient, overrides: str, body: dict[str, Any], environment: Environment, feature: Feature
) -> None:
    Feature.objects.update(initial_value="12")
    answer = admin.post(overrides, body, "json")
    assert answer.status_code == 201, answer.json()
    assert list(answer.json()) == [
        "id",
        "feature",
        "enabled",
        "feature_state_value",
        "feature_segment",
        "deleted_at",
        "uuid",
        "created_at",
        "updated_at",
        "live_from",
        "environment",
        "identity",
        "change_request",
        "multivariate_feature_state_values",
    ]
    assert answer.json()["feature_state_value"] == {
        "type": "unicode",
        "string_value": "v",
        "integer_value": 12,
        "boolean_value": None,
    }
    assert list(answer.json()["feature_segment"]) == ["id", "segment", "priority", "uuid"]
    assert (answer.json()["feature"], answer.json()["environment"]) == (feature.pk, environment.pk)


def test_override__created_with_prevent_flag_defaults__without_initial_value(
    admin: APIClient, overrides: str, body: dict[str, Any], project: Project
) -> None:
    Feature.objects.update(initial_value="12")
    Project.objects.update(prevent_flag_defaults=True)
    assert admin.post(overrides, body, "json").json()["feature_state_value"]["integer_value"] is None


@pytest.mark.parametrize(
    "priority, expected",
    [(None, "ab*"), (0, "*ab"), (1, "a*b"), (2, "ab*"), (7, "ab*")],
)
def test_override__created_at_a_taken_priority__shifts_the_others(
    admin: APIClient,
    overrides: str,
    body: dict[str, Any],
    feature: Feature,
    segment: Segment,
    make_override: Callable[..., FeatureSegment],
    priority: int | None,
    expected: str,
) -> None:
    make_override(feature, "a", 0)
    make_override(feature, "b", 1)
    if priority is not None:
        body["feature_segment"]["priority"] = priority
    answer = admin.post(overrides, body, "json")
    assert answer.json()["feature_segment"]["priority"] == (2 if priority is None else priority)
    names = FeatureSegment.objects.values_list("segment__name", flat=True)
    assert "".join("*" if name == segment.name else name for name in names) == expected
    priorities = list(FeatureSegment.objects.values_list("priority", flat=True))
    assert len(set(priorities)) == 3


def test_override__with_shares__stored(
    admin: APIClient, overrides: str, body: dict[str, Any], feature: Feature
) -> None:
    option = MultivariateFeatureOption.objects.create(feature=feature, string_value="a")
    share = {"multivariate_feature_option": option.pk, "percentage_allocation": 25}
    answer = admin.post(overrides, {**body, "multivariate_feature_state_values": [share]}, "json")
    assert answer.status_code == 201, answer.json()
    shares = answer.json()["multivariate_feature_state_values"]
    stored = MultivariateFeatureStateValue.objects.get()
    assert shares == [{"id": stored.pk, "multivariate_feature_option": option.pk, "percentage_allocation": 25.0}]


@pytest.mark.parametrize(
    "change, field",
    [
        ({"feature_segment": None}, "feature_segment"),
        ({"feature_segment": {}}, "feature_segment"),
        ({"feature_segment": {"segment": 99_999}}, "feature_segment"),
        ({"feature_segment": {"segment": 0, "priority": -1}}, "feature_segment"),
        ({"feature_state_value": None}, "feature_state_value"),
        ({"feature_state_value": "v"}, "feature_state_value"),
        ({"feature_state_value": {"string_value": "x" * 20_001}}, "feature_state_value"),
        ({"enabled": "maybe"}, "enabled"),
        (
            {"multivariate_feature_state_values": [{"multivariate_feature_option": 1, "percentage_allocation": 1}]},
            "multivariate_feature_state_values",
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_override__invalid_field__rejected_with_field_and_nothing_stored(
    admin: APIClient, overrides: str, body: dict[str, Any], change: dict[str, Any], field: str
) -> None:
    answer = admin.post(overrides, {**body, **change}, "json")
    assert (answer.status_code, list(answer.json())) == (400, [field])
    assert not FeatureSegment.objects.exists()


def test_override__required_field_missing__rejected(admin: APIClient, overrides: str, body: dict[str, Any]) -> None:
    for field in ("feature_segment", "feature_state_value"):
        answer = admin.post(overrides, {name: body[name] for name in body if name != field}, "json")
        assert (answer.status_code, answer.json()) == (400, {field: ["This field is required."]})


def test_override__segment_overrides_already__rejected(
    admin: APIClient, overrides: str, body: dict[str, Any], environment: Environment
) -> None:
    assert admin.post(overrides, body, "json").status_code == 201
    answer = admin.post(overrides, body, "json")
    assert (answer.status_code, list(answer.json())) == (400, ["feature_segment"])
    assert FeatureSegment.objects.count() == 1


def test_override__segment_of_another_feature__rejected(
    admin: APIClient, overrides: str, body: dict[str, Any], make_feature: Callable[..., Feature]
) -> None:
    Segment.objects.update(feature=make_feature("other"))
    answer = admin.post(overrides, body, "json")
    assert (answer.status_code, list(answer.json()["feature_segment"])) == (400, ["segment"])


def test_override__unknown_feature_or_another_tenant__not_found(
    admin: APIClient, outsider: APIClient, overrides: str, body: dict[str, Any], environment: Environment
) -> None:
    unknown = f"/api/v1/environments/{environment.api_key}/features/99999/create-segment-override/"
    answer = admin.post(unknown, body, "json")
    assert (answer.status_code, answer.json()) == (404, {"detail": "No Feature matches the given query."})
    assert outsider.post(overrides, body, "json").status_code == 404
    assert admin.get(overrides).status_code == 405


def test_override__member__needs_permission(
    member: APIClient, permit: Callable[..., None], overrides: str, body: dict[str, Any], environment: Environment
) -> None:
    permit("VIEW_PROJECT")
    permit("VIEW_ENVIRONMENT", "UPDATE_FEATURE_STATE", environment=environment)
    assert member.post(overrides, body, "json").status_code == 403
    permit("MANAGE_SEGMENT_OVERRIDES", environment=environment)
    assert member.post(overrides, body, "json").status_code == 201


def test_override__environment_with_v2_versioning__rejected(
    admin: APIClient, overrides: str, body: dict[str, Any], environment: Environment
) -> None:
    Environment.objects.update(use_v2_feature_versioning=True)
    assert admin.post(overrides, body, "json").status_code == 400
    assert not FeatureState.objects.filter(feature_segment__isnull=False).exists()
