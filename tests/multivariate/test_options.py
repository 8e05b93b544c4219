"""``projects/{project}/features/{feature}/mv-options/``."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureState
from features.multivariate.models import MultivariateFeatureOption, MultivariateFeatureStateValue
from projects.models import Project
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db

FIELDS = [
    "id",
    "uuid",
    "type",
    "integer_value",
    "string_value",
    "boolean_value",
    "default_percentage_allocation",
    "key",
    "feature",
]

OVER = {"default_percentage_allocation": ["Invalid percentage allocation"]}


@pytest.fixture
def options(environment: Environment, production: Environment, make_feature: Callable[..., Feature]) -> str:
    """The options of a feature that has none."""
    feature = make_feature()
    return f"/api/v1/projects/{feature.project_id}/features/{feature.pk}/mv-options/"


def body(value: str = "a", percentage: float = 30, **more: Any) -> dict[str, Any]:
    return {"type": "unicode", "string_value": value, "default_percentage_allocation": percentage, **more}


def create(admin: APIClient, options: str, *args: Any, **more: Any) -> Any:
    answer = admin.post(options, body(*args, **more), "json")
    assert answer.status_code == 201, answer.json()
    return answer.json()


def test_option__created__a_share_in_each_environment_default(
    admin: APIClient, options: str, environment: Environment, production: Environment
) -> None:
    feature = Feature.objects.get()
    identity = environment.identities.create(identifier="u")
    FeatureState.objects.create(feature=feature, environment=environment, identity=identity)
    FeatureState.objects.create(feature=feature, environment=environment, version=None)
    created = create(admin, options, feature=feature.pk)
    assert list(created) == FIELDS
    assert (created["default_percentage_allocation"], created["feature"]) == (30.0, feature.pk)
    shares = MultivariateFeatureStateValue.objects.values_list(
        "feature_state__environment", "feature_state__identity", "percentage_allocation"
    )
    assert set(shares) == {(environment.pk, None, 30), (production.pk, None, 30)}


def test_feature_type__first_and_last_option__flips(admin: APIClient, options: str) -> None:
    def kind() -> str:
        return Feature.objects.get().type

    assert kind() == "STANDARD"
    first, second = create(admin, options, "a"), create(admin, options, "b")
    assert kind() == "MULTIVARIATE"
    assert admin.delete(f"{options}{first['id']}/").status_code == 204
    assert kind() == "MULTIVARIATE"
    assert admin.delete(f"{options}{second['id']}/").status_code == 204
    assert kind() == "STANDARD"
    assert not MultivariateFeatureStateValue.objects.exists()


def test_percentages__over_the_whole__refused(admin: APIClient, options: str) -> None:
    first, second = create(admin, options, "a", 60), create(admin, options, "b", 30)
    answer = admin.post(options, body("c", 11), "json")
    assert (answer.status_code, answer.json()) == (400, OVER)
    answer = admin.patch(f"{options}{second['id']}/", {"default_percentage_allocation": 41}, "json")
    assert (answer.status_code, answer.json()) == (400, OVER)
    assert admin.patch(f"{options}{second['id']}/", {"default_percentage_allocation": 40}, "json").status_code == 200
    assert admin.put(f"{options}{first['id']}/", body("a", 60), "json").status_code == 200


def test_percentages__no_room_in_one_environment__refused(
    admin: APIClient, options: str, production: Environment
) -> None:
    create(admin, options, "a", 10)
    MultivariateFeatureStateValue.objects.filter(feature_state__environment=production).update(percentage_allocation=95)
    answer = admin.post(options, body("b", 6), "json")
    assert (answer.status_code, answer.json()) == (400, OVER)
    create(admin, options, "b", 5)


def test_bodies__partial__accepted(admin: APIClient, options: str) -> None:
    answer = admin.post(options, {"type": "int", "integer_value": 3}, "json")
    assert (answer.status_code, answer.json()["default_percentage_allocation"]) == (201, 100.0)
    one = f"{options}{answer.json()['id']}/"
    assert admin.put(one, {"integer_value": 4}, "json").json()["integer_value"] == 4
    answer = admin.patch(one, {"type": "bool", "boolean_value": True}, "json").json()
    assert (answer["type"], answer["boolean_value"], answer["integer_value"]) == ("bool", True, 4)
    assert admin.put(one, {}, "json").status_code == 200


@pytest.mark.parametrize(
    "field, sent",
    [
        ("type", "float"),
        ("type", ""),
        ("default_percentage_allocation", -1),
        ("default_percentage_allocation", 101),
        ("default_percentage_allocation", "x"),
        ("default_percentage_allocation", None),
        ("string_value", "x" * 20_001),
        ("integer_value", 2**31),
        ("boolean_value", "maybe"),
        ("key", "no slug"),
        ("key", "control"),
        ("key", ""),
        ("feature", 99_999),
    ],
)
def test_option__bad_field__refused_by_name(admin: APIClient, options: str, field: str, sent: Any) -> None:
    answer = admin.post(options, body(**{field: sent}) if field not in body() else {**body(), field: sent}, "json")
    assert (answer.status_code, list(answer.json())) == (400, [field])
    assert not MultivariateFeatureOption.objects.exists()


def test_option__of_another_feature_in_the_body__refused(
    admin: APIClient, options: str, make_feature: Callable[..., Feature]
) -> None:
    other = make_feature("other")
    answer = admin.post(options, body(feature=other.pk), "json")
    assert (answer.status_code, list(answer.json())) == (400, ["feature"])


def test_key__taken_by_a_sibling__refused(admin: APIClient, options: str) -> None:
    first = create(admin, options, "a", key="red")
    answer = admin.post(options, body("b", key="red"), "json")
    assert (answer.status_code, list(answer.json())) == (400, ["key"])
    assert admin.put(f"{options}{first['id']}/", body("a", key="red"), "json").status_code == 200


def test_list__page_size__ignored(admin: APIClient, options: str) -> None:
    for number in range(11):
        create(admin, options, str(number), 1)
    answer = admin.get(f"{options}?page_size=5").json()
    assert (answer["count"], len(answer["results"])) == (11, 11)
    assert list(answer["results"][0]) == FIELDS


def test_one__got_and_by_uuid__the_same(admin: APIClient, options: str) -> None:
    created = create(admin, options)
    assert admin.get(f"{options}{created['id']}/").json() == created
    assert admin.get(f"/api/v1/multivariate/options/get-by-uuid/{created['uuid']}/").json() == created


def test_options__of_an_unknown_feature_or_tenant__not_found(
    admin: APIClient, outsider: APIClient, anonymous: APIClient, options: str, project: Project
) -> None:
    created = create(admin, options)
    unknown = f"/api/v1/projects/{project.pk}/features/99999/mv-options/"
    for answer in (admin.get(unknown), admin.post(unknown, body(), "json")):
        assert (answer.status_code, answer.json()) == (404, {"detail": "No Feature matches the given query."})
    one = f"{options}{created['id']}/"
    for path in (options, one, f"/api/v1/multivariate/options/get-by-uuid/{created['uuid']}/"):
        assert outsider.get(path).status_code == 404
        assert anonymous.get(path).status_code == 401
    assert outsider.post(options, body(), "json").status_code == 404
    assert outsider.delete(one).status_code == 404


def test_options__by_a_member__as_the_permissions_say(
    admin: APIClient, member: APIClient, member_user: FFAdminUser, options: str, project: Project
) -> None:
    created = create(admin, options)
    permission = project.userpermission.create(user=member_user)
    permission.permissions.add("VIEW_PROJECT")
    one = f"{options}{created['id']}/"
    assert {member.get(path).status_code for path in (options, one)} == {200}

    def writes() -> set[int]:
        return {
            member.post(options, body(), "json").status_code,
            member.patch(one, {"string_value": "b"}, "json").status_code,
            member.delete(one).status_code,
        }

    assert writes() == {403}
    permission.permissions.add("CREATE_FEATURE")
    assert writes() == {201, 200, 204}
