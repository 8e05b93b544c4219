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

SUM_OVER_100 = {"default_percentage_allocation": ["Invalid percentage allocation"]}


@pytest.fixture
def options_path(environment: Environment, production: Environment, make_feature: Callable[..., Feature]) -> str:
    """The path of a feature's options. The feature has none yet."""
    feature = make_feature()
    return f"/api/v1/projects/{feature.project_id}/features/{feature.pk}/mv-options/"


def body(value: str = "a", percentage: float = 30, **more: Any) -> dict[str, Any]:
    return {"type": "unicode", "string_value": value, "default_percentage_allocation": percentage, **more}


def create(admin: APIClient, options_path: str, *args: Any, **more: Any) -> Any:
    response = admin.post(options_path, body(*args, **more), "json")
    assert response.status_code == 201, response.json()
    return response.json()


def test_option__created__percentage_added_to_each_environment_default(
    admin: APIClient, options_path: str, environment: Environment, production: Environment
) -> None:
    feature = Feature.objects.get()
    identity = environment.identities.create(identifier="u")
    FeatureState.objects.create(feature=feature, environment=environment, identity=identity)
    FeatureState.objects.create(feature=feature, environment=environment, version=None)
    created = create(admin, options_path, feature=feature.pk)
    assert list(created) == FIELDS
    assert (created["default_percentage_allocation"], created["feature"]) == (30.0, feature.pk)
    percentages = MultivariateFeatureStateValue.objects.values_list(
        "feature_state__environment", "feature_state__identity", "percentage_allocation"
    )
    assert set(percentages) == {(environment.pk, None, 30), (production.pk, None, 30)}


def test_feature_type__first_option_created_and_last_deleted__changes(admin: APIClient, options_path: str) -> None:
    def kind() -> str:
        return Feature.objects.get().type

    assert kind() == "STANDARD"
    first, second = create(admin, options_path, "a"), create(admin, options_path, "b")
    assert kind() == "MULTIVARIATE"
    assert admin.delete(f"{options_path}{first['id']}/").status_code == 204
    assert kind() == "MULTIVARIATE"
    assert admin.delete(f"{options_path}{second['id']}/").status_code == 204
    assert kind() == "STANDARD"
    assert not MultivariateFeatureStateValue.objects.exists()


def test_percentages__sum_over_100__400(admin: APIClient, options_path: str) -> None:
    first, second = create(admin, options_path, "a", 60), create(admin, options_path, "b", 30)
    response = admin.post(options_path, body("c", 11), "json")
    assert (response.status_code, response.json()) == (400, SUM_OVER_100)
    response = admin.patch(f"{options_path}{second['id']}/", {"default_percentage_allocation": 41}, "json")
    assert (response.status_code, response.json()) == (400, SUM_OVER_100)
    assert (
        admin.patch(f"{options_path}{second['id']}/", {"default_percentage_allocation": 40}, "json").status_code == 200
    )
    assert admin.put(f"{options_path}{first['id']}/", body("a", 60), "json").status_code == 200


def test_percentages__sum_over_100_in_one_environment__400(
    admin: APIClient, options_path: str, production: Environment
) -> None:
    create(admin, options_path, "a", 10)
    MultivariateFeatureStateValue.objects.filter(feature_state__environment=production).update(percentage_allocation=95)
    response = admin.post(options_path, body("b", 6), "json")
    assert (response.status_code, response.json()) == (400, SUM_OVER_100)
    create(admin, options_path, "b", 5)


def test_bodies__partial__accepted(admin: APIClient, options_path: str) -> None:
    response = admin.post(options_path, {"type": "int", "integer_value": 3}, "json")
    assert (response.status_code, response.json()["default_percentage_allocation"]) == (201, 100.0)
    one = f"{options_path}{response.json()['id']}/"
    assert admin.put(one, {"integer_value": 4}, "json").json()["integer_value"] == 4
    response = admin.patch(one, {"type": "bool", "boolean_value": True}, "json").json()
    assert (response["type"], response["boolean_value"], response["integer_value"]) == ("bool", True, 4)
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
def test_option__bad_field__400_naming_it(admin: APIClient, options_path: str, field: str, sent: Any) -> None:
    response = admin.post(
        options_path, body(**{field: sent}) if field not in body() else {**body(), field: sent}, "json"
    )
    assert (response.status_code, list(response.json())) == (400, [field])
    assert not MultivariateFeatureOption.objects.exists()


def test_option__body_names_another_feature__400(
    admin: APIClient, options_path: str, make_feature: Callable[..., Feature]
) -> None:
    other = make_feature("other")
    response = admin.post(options_path, body(feature=other.pk), "json")
    assert (response.status_code, list(response.json())) == (400, ["feature"])


def test_key__taken_by_another_option__400(admin: APIClient, options_path: str) -> None:
    first = create(admin, options_path, "a", key="red")
    response = admin.post(options_path, body("b", key="red"), "json")
    assert (response.status_code, list(response.json())) == (400, ["key"])
    assert admin.put(f"{options_path}{first['id']}/", body("a", key="red"), "json").status_code == 200


def test_list__page_size__ignored(admin: APIClient, options_path: str) -> None:
    for number in range(11):
        create(admin, options_path, str(number), 1)
    response = admin.get(f"{options_path}?page_size=5").json()
    assert (response["count"], len(response["results"])) == (11, 11)
    assert list(response["results"][0]) == FIELDS


def test_retrieve__by_id_and_by_uuid__equal(admin: APIClient, options_path: str) -> None:
    created = create(admin, options_path)
    assert admin.get(f"{options_path}{created['id']}/").json() == created
    assert admin.get(f"/api/v1/multivariate/options/get-by-uuid/{created['uuid']}/").json() == created


def test_options__unknown_feature_or_other_tenant__404(
    admin: APIClient, outsider: APIClient, anonymous: APIClient, options_path: str, project: Project
) -> None:
    created = create(admin, options_path)
    unknown = f"/api/v1/projects/{project.pk}/features/99999/mv-options/"
    for response in (admin.get(unknown), admin.post(unknown, body(), "json")):
        assert (response.status_code, response.json()) == (404, {"detail": "No Feature matches the given query."})
    one = f"{options_path}{created['id']}/"
    for path in (options_path, one, f"/api/v1/multivariate/options/get-by-uuid/{created['uuid']}/"):
        assert outsider.get(path).status_code == 404
        assert anonymous.get(path).status_code == 401
    assert outsider.post(options_path, body(), "json").status_code == 404
    assert outsider.delete(one).status_code == 404


def test_options__member__needs_create_feature_to_write(
    admin: APIClient, member: APIClient, member_user: FFAdminUser, options_path: str, project: Project
) -> None:
    created = create(admin, options_path)
    permission = project.userpermission.create(user=member_user)
    permission.permissions.add("VIEW_PROJECT")
    one = f"{options_path}{created['id']}/"
    assert {member.get(path).status_code for path in (options_path, one)} == {200}

    def writes() -> set[int]:
        return {
            member.post(options_path, body(), "json").status_code,
            member.patch(one, {"string_value": "b"}, "json").status_code,
            member.delete(one).status_code,
        }

    assert writes() == {403}
    permission.permissions.add("CREATE_FEATURE")
    assert writes() == {201, 200, 204}
