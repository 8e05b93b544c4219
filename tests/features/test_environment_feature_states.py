"""``environments/{api_key}/featurestates/``: environment defaults, with scalar values."""

from collections.abc import Callable
from typing import Any

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from organisations.models import Organisation
from projects.models import Project

pytestmark = pytest.mark.django_db

FIELDS = [
    "id",
    "feature_state_value",
    "multivariate_feature_state_values",
    "deleted_at",
    "uuid",
    "enabled",
    "created_at",
    "updated_at",
    "live_from",
    "version",
    "feature",
    "environment",
    "identity",
    "feature_segment",
    "change_request",
    "environment_feature_version",
]

ALREADY_EXISTS = [
    "['Feature state already exists for this environment, feature, version, segment & identity combination']"
]


@pytest.fixture
def multivariate_state(
    make_feature: Callable[..., Feature], environment: Environment, project: Project
) -> FeatureState:
    """The environment default of a feature with the options "a" (30 %) and "b" (20 %)."""
    feature = make_feature("split", type="MULTIVARIATE")
    state = FeatureState.objects.get(feature=feature, environment=environment)
    for value, share in (("a", 30), ("b", 20)):
        option = MultivariateFeatureOption.objects.create(
            feature=feature, string_value=value, default_percentage_allocation=share
        )
        MultivariateFeatureStateValue.objects.create(
            feature_state=state, multivariate_feature_option=option, percentage_allocation=share
        )
    return state


def shares_of(state: FeatureState) -> dict[str, float]:
    return {
        share.multivariate_feature_option.string_value: share.percentage_allocation
        for share in MultivariateFeatureStateValue.objects.filter(feature_state=state)
    }


def test_list__without_any_identity__only_environment_defaults(
    admin: APIClient,
    states: str,
    state: FeatureState,
    feature: Feature,
    make_override: Callable[..., FeatureSegment],
    make_identity_override: Callable[..., FeatureState],
) -> None:
    make_override(feature, "s", 0)
    override = make_identity_override(feature, "u")
    FeatureState.objects.create(feature=feature, environment=state.environment, version=None)
    answer = admin.get(states).json()
    assert (answer["count"], answer["results"][0]["id"]) == (1, state.pk)
    assert list(answer["results"][0]) == [*FIELDS[:3], "identity", *FIELDS[3:12], *FIELDS[13:]]
    overridden = admin.get(f"{states}?anyIdentity=").json()["results"]
    assert [(each["id"], each["identity"]) for each in overridden] == [
        (override.pk, {"id": override.identity_id, "identifier": "u"})
    ]


def test_list__page_size__ignored(
    admin: APIClient, states: str, make_feature: Callable[..., Feature], environment: Environment
) -> None:
    for number in range(11):
        make_feature(f"f{number}")
    answer = admin.get(f"{states}?page_size=5").json()
    assert (answer["count"], len(answer["results"])) == (11, 11)


def test_list__feature_or_feature_name__filtered(
    admin: APIClient, states: str, make_feature: Callable[..., Feature], environment: Environment
) -> None:
    one, two = make_feature("one"), make_feature("two")

    def features(query: str) -> list[int]:
        return [each["feature"] for each in admin.get(f"{states}?{query}").json()["results"]]

    assert features(f"feature={one.pk}") == [one.pk]
    assert features("feature_name=TWO") == [two.pk]
    assert features("feature_name=tw") == []
    assert features("feature=&feature_name=") == [one.pk, two.pk]
    answer = admin.get(f"{states}?feature=x")
    assert (answer.status_code, list(answer.json())) == (400, ["feature"])


def test_retrieve__default__all_fields_and_identity_as_primary_key(
    admin: APIClient, states: str, state: FeatureState
) -> None:
    answer = admin.get(f"{states}{state.pk}/")
    assert answer.status_code == 200
    assert list(answer.json()) == FIELDS
    assert {name: answer.json()[name] for name in FIELDS if answer.json()[name] is None} == dict.fromkeys(
        (
            "feature_state_value",
            "deleted_at",
            "identity",
            "feature_segment",
            "change_request",
            "environment_feature_version",
        )
    )


@pytest.mark.parametrize("method", ["put", "patch"])
@pytest.mark.parametrize(
    "sent, served",
    [
        ("abc", "abc"),
        (" padded ", "padded"),
        ("12", "12"),
        ("", ""),
        (13, 13),
        (2**31 - 1, 2**31 - 1),
        (-(2**31), -(2**31)),
        (True, True),
        (False, False),
        (None, None),
        (1.5, "1.5"),
        ("é" * 20_000, "é" * 20_000),
    ],
    ids=lambda value: str(value)[:12],
)
def test_value__json_scalar__stored_with_its_type(
    admin: APIClient, states: str, state: FeatureState, method: str, sent: Any, served: Any
) -> None:
    answer = getattr(admin, method)(f"{states}{state.pk}/", {"feature_state_value": sent}, "json")
    assert answer.status_code == 200, answer.json()
    value = admin.get(f"{states}{state.pk}/").json()["feature_state_value"]
    assert (type(value), value) == (type(served), served)


@pytest.mark.parametrize("method", ["put", "patch"])
@pytest.mark.parametrize(
    "sent, error",
    [
        ({"type": "unicode", "string_value": "z"}, {"string_value": ["Not a valid string."]}),
        (["a"], {"string_value": ["Not a valid string."]}),
        ("x" * 20_001, {"string_value": ["Ensure this field has no more than 20000 characters."]}),
        (2**31, {"integer_value": ["Ensure this value is less than or equal to 2147483647."]}),
        (-(2**31) - 1, {"integer_value": ["Ensure this value is greater than or equal to -2147483648."]}),
        ("a\0", {"string_value": ["Null characters are not allowed."]}),
    ],
    ids=lambda value: str(value)[:12],
)
def test_value__invalid__rejected_and_nothing_stored(
    admin: APIClient, states: str, state: FeatureState, method: str, sent: Any, error: dict[str, Any]
) -> None:
    body = {"enabled": True, "feature_state_value": sent}
    answer = getattr(admin, method)(f"{states}{state.pk}/", body, "json")
    assert (answer.status_code, answer.json()) == (400, error)
    state.refresh_from_db()
    assert (state.enabled, state.feature_state_value.value) == (False, None)


def test_value__type_changed__other_columns_unchanged(admin: APIClient, states: str, state: FeatureState) -> None:
    for value in ("abc", 13, True):
        admin.put(f"{states}{state.pk}/", {"feature_state_value": value}, "json")
    listed = admin.get(f"/api/v1/features/featurestates/?environment={state.environment_id}").json()["results"]
    assert listed[0]["feature_state_value"] == {
        "type": "bool",
        "string_value": "abc",
        "integer_value": 13,
        "boolean_value": True,
    }


def test_put__some_fields__others_unchanged(admin: APIClient, states: str, state: FeatureState) -> None:
    path = f"{states}{state.pk}/"
    assert list(admin.put(path, {"feature_state_value": "a"}, "json").json()) == FIELDS
    answer = admin.put(path, {"enabled": True}, "json").json()
    assert (answer["enabled"], answer["feature_state_value"]) == (True, "a")
    assert admin.put(path, {}, "json").json()["enabled"] is True
    answer = admin.put(path, {"feature": state.feature_id, "environment": state.environment_id}, "json")
    assert answer.status_code == 200


def test_patch__other_fields__ignored_and_short_response(
    admin: APIClient, states: str, multivariate_state: FeatureState, production: Environment
) -> None:
    body = {
        "enabled": True,
        "feature_state_value": "a",
        "environment": production.pk,
        "feature": 0,
        "live_from": "2020-01-01T00:00:00Z",
        "multivariate_feature_state_values": [],
    }
    answer = admin.patch(f"{states}{multivariate_state.pk}/", body, "json")
    assert (answer.status_code, answer.json()) == (200, {"feature": multivariate_state.feature_id, "enabled": True})
    after = admin.get(f"{states}{multivariate_state.pk}/").json()
    assert (after["feature_state_value"], after["environment"]) == ("a", multivariate_state.environment_id)
    assert len(after["multivariate_feature_state_values"]) == 2
    assert not after["live_from"].startswith("2020")


def test_put__another_feature_or_environment__rejected(
    admin: APIClient, states: str, state: FeatureState, multivariate_state: FeatureState, production: Environment
) -> None:
    path = f"{states}{state.pk}/"
    answer = admin.put(path, {"feature": multivariate_state.feature_id}, "json")
    assert (answer.status_code, answer.json()) == (
        400,
        {"feature": ["Cannot change the feature of a feature state"]},
    )
    answer = admin.put(path, {"environment": production.pk}, "json")
    assert answer.json() == {"environment": ["Cannot change the environment of a feature state"]}


def test_put__live_from_in_the_future__stored_and_served_immediately(
    admin: APIClient, states: str, state: FeatureState
) -> None:
    answer = admin.put(f"{states}{state.pk}/", {"live_from": "2999-01-01T00:00:00Z", "enabled": True}, "json")
    assert answer.json()["live_from"] == "2999-01-01T00:00:00Z"
    assert [each["enabled"] for each in admin.get(states).json()["results"]] == [True]
    flags = APIClient().get("/api/v1/flags/", headers={"X-Environment-Key": state.environment.api_key})
    assert [flag["enabled"] for flag in flags.json()] == [True]


def test_put__shares__matched_by_option(admin: APIClient, states: str, multivariate_state: FeatureState) -> None:
    path = f"{states}{multivariate_state.pk}/"
    first, second = admin.get(path).json()["multivariate_feature_state_values"]
    body = {"multivariate_feature_state_values": [{**first, "percentage_allocation": 40}, second]}
    answer = admin.put(path, body, "json")
    assert answer.json()["multivariate_feature_state_values"] == [{**first, "percentage_allocation": 40.0}, second]
    without_id = {"multivariate_feature_option": second["multivariate_feature_option"], "percentage_allocation": 5}
    answer = admin.put(path, {"multivariate_feature_state_values": [without_id]}, "json")
    assert answer.json()["multivariate_feature_state_values"] == [{**second, "percentage_allocation": 5.0}]
    assert shares_of(multivariate_state) == {"b": 5}
    restored = [{"multivariate_feature_option": first["multivariate_feature_option"], "percentage_allocation": 95}]
    admin.put(path, {"multivariate_feature_state_values": [*restored, without_id]}, "json")
    assert shares_of(multivariate_state) == {"a": 95, "b": 5}


@pytest.mark.parametrize(
    "percentages, error",
    [
        ((60, 41), {"non_field_errors": ["Multivariate percentage values exceed 100%."]}),
        ((-1, 0), None),
        ((101, 0), None),
        ((None, 0), None),
    ],
)
def test_put__invalid_percentages__rejected(
    admin: APIClient, states: str, multivariate_state: FeatureState, percentages: tuple[Any, Any], error: Any
) -> None:
    path = f"{states}{multivariate_state.pk}/"
    values = admin.get(path).json()["multivariate_feature_state_values"]
    values = [{**value, "percentage_allocation": share} for value, share in zip(values, percentages, strict=True)]
    answer = admin.put(path, {"enabled": True, "multivariate_feature_state_values": values}, "json")
    assert answer.status_code == 400
    assert answer.json() == error if error else list(answer.json()) == ["multivariate_feature_state_values"]
    multivariate_state.refresh_from_db()
    assert not multivariate_state.enabled


def test_put__shares_incomplete_foreign_or_duplicate__rejected_with_field(
    admin: APIClient, states: str, state: FeatureState, multivariate_state: FeatureState
) -> None:
    option = multivariate_state.multivariate_feature_state_values.all()[0].multivariate_feature_option_id
    share = {"multivariate_feature_option": option, "percentage_allocation": 1}

    def errors(target: FeatureState, *shares: dict[str, Any]) -> Any:
        body = {"multivariate_feature_state_values": shares}
        answer = admin.put(f"{states}{target.pk}/", body, "json")
        assert answer.status_code == 400
        return answer.json()["multivariate_feature_state_values"]

    foreign = [f'Invalid pk "{option}" - object does not exist.']
    assert errors(state, share) == [{"multivariate_feature_option": foreign}]
    duplicate = ["This option is given more than once."]
    assert errors(multivariate_state, share, share) == [{"multivariate_feature_option": duplicate}] * 2
    assert errors(multivariate_state, {"percentage_allocation": 1}) == [
        {"multivariate_feature_option": ["This field is required."]}
    ]
    assert errors(multivariate_state, {"multivariate_feature_option": option}) == [
        {"percentage_allocation": ["This field is required."]}
    ]


def test_create__default_was_deleted__initial_value_and_default_shares(
    admin: APIClient, states: str, multivariate_state: FeatureState, environment: Environment
) -> None:
    Feature.objects.filter(pk=multivariate_state.feature_id).update(initial_value="12")
    assert admin.delete(f"{states}{multivariate_state.pk}/").status_code == 204
    assert not FeatureState.objects.filter(pk=multivariate_state.pk).exists()
    answer = admin.post(states, {"feature": multivariate_state.feature_id, "enabled": True}, "json")
    assert answer.status_code == 201, answer.json()
    assert list(answer.json()) == FIELDS
    assert (answer.json()["feature_state_value"], answer.json()["enabled"]) == (12, True)
    assert shares_of(FeatureState.objects.get(pk=answer.json()["id"])) == {"a": 30, "b": 20}
    again = admin.post(states, {"feature": multivariate_state.feature_id}, "json")
    assert (again.status_code, again.json()) == (400, ALREADY_EXISTS)


def test_create__feature_missing_or_of_another_project__rejected(
    admin: APIClient, states: str, organisation: Organisation
) -> None:
    other = Feature.objects.create(name="f", project=Project.objects.create(name="o", organisation=organisation))
    for body in ({}, {"enabled": True}, []):
        answer = admin.post(states, body, "json")
        assert (answer.status_code, answer.json()) == (400, {"detail": "Feature not provided"})
    answer = admin.post(states, {"feature": other.pk}, "json")
    assert answer.json() == {"feature": [f'Invalid pk "{other.pk}" - object does not exist.']}


def test_create__live_from_null__set_to_now(admin: APIClient, states: str, state: FeatureState) -> None:
    before = timezone.now()
    state.delete()
    answer = admin.post(states, {"feature": state.feature_id, "live_from": None}, "json")
    assert FeatureState.objects.get(pk=answer.json()["id"]).live_from >= before


def test_segment_override__below_the_environment__not_found(
    admin: APIClient, states: str, feature: Feature, make_override: Callable[..., FeatureSegment]
) -> None:
    override = make_override(feature, "s", 0).feature_states.get()
    assert admin.get(f"{states}{override.pk}/").status_code == 404
    assert admin.put(f"{states}{override.pk}/", {"enabled": False}, "json").status_code == 404


def test_states__of_another_tenant__not_found(
    outsider: APIClient, anonymous: APIClient, states: str, state: FeatureState
) -> None:
    path = f"{states}{state.pk}/"
    assert {outsider.get(each).status_code for each in (states, path)} == {404}
    assert outsider.put(path, {"enabled": True}, "json").status_code == 404
    assert outsider.delete(path).status_code == 404
    assert anonymous.get(states).status_code == 401


def test_states__member__needs_permissions(
    member: APIClient, permit: Callable[..., None], states: str, state: FeatureState
) -> None:
    path = f"{states}{state.pk}/"
    permit("VIEW_PROJECT")
    permit("VIEW_ENVIRONMENT", environment=state.environment)
    assert member.get(path).status_code == 200
    for method in ("put", "patch", "delete"):
        assert getattr(member, method)(path, {"enabled": True}, "json").status_code == 403
    assert member.post(states, {"feature": state.feature_id}, "json").status_code == 403
    permit("UPDATE_FEATURE_STATE", environment=state.environment)
    assert member.patch(path, {"enabled": True}, "json").status_code == 200


def test_writes__environment_with_v2_versioning__rejected(
    admin: APIClient, states: str, state: FeatureState, environment: Environment
) -> None:
    Environment.objects.update(use_v2_feature_versioning=True)
    path = f"{states}{state.pk}/"
    for answer in (
        admin.put(path, {"enabled": True}, "json"),
        admin.delete(path),
        admin.put(
            f"/api/v1/features/featurestates/{state.pk}/",
            {"environment": environment.pk, "feature": state.feature_id, "enabled": True},
            "json",
        ),
    ):
        assert answer.status_code == 400
        assert answer.json()["detail"].startswith("This environment uses v2 feature versioning.")
    state.refresh_from_db()
    assert not state.enabled
