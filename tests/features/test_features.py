"""``projects/{project}/features/``: creating, reading, updating and deleting features."""

from collections.abc import Callable
from typing import Any

import pytest
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature, FeatureSegment, FeatureState, FeatureStateValue
from features.multivariate.models import MultivariateFeatureStateValue
from organisations.models import Organisation
from projects.models import Project
from projects.tags.models import Tag
from segments.models import Segment
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db

FIELDS = [
    "id",
    "name",
    "type",
    "default_enabled",
    "initial_value",
    "created_date",
    "description",
    "tags",
    "multivariate_options",
    "is_archived",
    "owners",
    "group_owners",
    "uuid",
    "project",
    "environment_feature_state",
    "segment_feature_state",
    "num_segment_overrides",
    "num_identity_overrides",
    "is_num_identity_overrides_complete",
    "is_server_key_only",
    "last_modified_in_any_environment",
    "last_modified_in_current_environment",
]


def option(value: str, percentage: float) -> dict[str, Any]:
    return {"type": "unicode", "string_value": value, "default_percentage_allocation": percentage}


def test_feature__created__state_in_each_environment(
    admin: APIClient, features: str, environment: Environment, production: Environment, user: FFAdminUser
) -> None:
    answer = admin.post(features, {"name": "banner", "initial_value": "12", "default_enabled": True}, "json")
    assert answer.status_code == 201, answer.json()
    body = answer.json()
    assert list(body) == [*FIELDS, "metadata"]
    assert (body["initial_value"], body["default_enabled"], body["type"]) == ("12", True, "STANDARD")
    assert [owner["id"] for owner in body["owners"]] == [user.pk]
    states = FeatureState.objects.filter(feature=body["id"])
    assert {state.environment_id for state in states} == {environment.pk, production.pk}
    assert {(state.enabled, state.feature_state_value.value) for state in states} == {(True, 12)}


def test_feature__created_with_prevent_flag_defaults__off_and_without_value(
    admin: APIClient, features: str, environment: Environment, project: Project
) -> None:
    Project.objects.update(prevent_flag_defaults=True)
    answer = admin.post(features, {"name": "banner", "initial_value": "x", "default_enabled": True}, "json")
    state = FeatureState.objects.get(feature=answer.json()["id"])
    assert (state.enabled, state.feature_state_value.value) == (False, None)
    assert answer.json()["initial_value"] == "x"


@pytest.mark.parametrize(
    "sent, stored",
    [
        ("x", "x"),
        (12, "12"),
        (1.5, "1.5"),
        (0, "0"),
        (True, "True"),
        (None, None),
        ("", ""),
        ("é" * 20_000, "é" * 20_000),
    ],
    ids=str,
)
def test_initial_value__scalar__stored_as_text(admin: APIClient, features: str, sent: Any, stored: Any) -> None:
    answer = admin.post(features, {"name": "banner", "initial_value": sent}, "json")
    assert answer.status_code == 201
    assert answer.json()["initial_value"] == stored


@pytest.mark.parametrize("sent", [False, {"a": 1}, [1], "x" * 20_001, "a\0b"], ids=lambda sent: str(sent)[:10])
def test_initial_value__invalid__rejected(admin: APIClient, features: str, sent: Any) -> None:
    answer = admin.post(features, {"name": "banner", "initial_value": sent}, "json")
    assert answer.status_code == 400
    assert list(answer.json()) == ["initial_value"]
    assert not Feature.objects.exists()


def test_feature_with_options__created__shares_in_each_environment(
    admin: APIClient, features: str, environment: Environment, production: Environment
) -> None:
    options = [option("a", 30), option("b", 20)]
    answer = admin.post(features, {"name": "split", "initial_value": "c", "multivariate_options": options}, "json")
    assert answer.status_code == 201, answer.json()
    assert answer.json()["type"] == "MULTIVARIATE"
    assert [each["string_value"] for each in answer.json()["multivariate_options"]] == ["a", "b"]
    assert list(answer.json()["multivariate_options"][0]) == [
        "id",
        "uuid",
        "type",
        "integer_value",
        "string_value",
        "boolean_value",
        "default_percentage_allocation",
        "key",
    ]
    shares = MultivariateFeatureStateValue.objects.values_list("feature_state__environment", "percentage_allocation")
    assert sorted(shares) == sorted((each.pk, share) for each in (environment, production) for share in (20, 30))


def test_feature_with_options__over_100_percent__rejected(admin: APIClient, features: str) -> None:
    answer = admin.post(features, {"name": "s", "multivariate_options": [option("a", 60), option("b", 41)]}, "json")
    assert answer.status_code == 400
    assert answer.json() == {"multivariate_options": ["Invalid percentage allocation"]}
    assert not Feature.objects.exists()


def test_feature_with_options__100_percent_with_rounding_error__accepted(admin: APIClient, features: str) -> None:
    options = [option(str(number), 0.1) for number in range(7)] + [option("rest", 99.3)]
    assert admin.post(features, {"name": "s", "multivariate_options": options}, "json").status_code == 201


def test_feature_with_options__not_project_admin__forbidden(
    member: APIClient, permit: Callable[..., None], features: str
) -> None:
    permit("VIEW_PROJECT", "CREATE_FEATURE")
    assert member.post(features, {"name": "a"}, "json").status_code == 201
    answer = member.post(features, {"name": "b", "multivariate_options": [option("a", 1)]}, "json")
    assert answer.status_code == 403


@pytest.mark.parametrize("name", ["banner", "BANNER", " Banner "])
def test_name__taken_regardless_of_case__rejected(admin: APIClient, features: str, feature: Feature, name: str) -> None:
    answer = admin.post(features, {"name": name}, "json")
    assert answer.status_code == 400
    assert answer.json() == {
        "name": [
            "Feature with that name already exists for this project. Note that feature names are case insensitive."
        ]
    }


@pytest.mark.parametrize("name, status", [("ab", 201), ("abc", 400), ("xab", 400)])
def test_name__not_a_full_match_of_the_project_regex__rejected(
    admin: APIClient, features: str, project: Project, name: str, status: int
) -> None:
    Project.objects.update(feature_name_regex="a|ab")
    answer = admin.post(features, {"name": name}, "json")
    assert answer.status_code == status
    if status == 400:
        assert answer.json() == {"name": ["Feature name must match regex: a|ab"]}


def test_name__invalid_project_regex__rejected(admin: APIClient, features: str, project: Project) -> None:
    Project.objects.update(feature_name_regex="(")
    assert admin.post(features, {"name": "a"}, "json").status_code == 400


@pytest.mark.parametrize(
    "field, sent",
    [
        ("name", None),
        ("name", "x" * 2001),
        ("type", "OTHER"),
        ("type", ""),
        ("tags", [0]),
        ("tags", "x"),
        ("owners", [0]),
        ("group_owners", [1]),
        ("multivariate_options", [{"type": "int", "integer_value": 2**31}]),
        ("multivariate_options", [{"default_percentage_allocation": -1}]),
    ],
)
def test_feature__invalid_field__rejected_with_field(admin: APIClient, features: str, field: str, sent: Any) -> None:
    answer = admin.post(features, {"name": "banner", field: sent}, "json")
    assert answer.status_code == 400
    assert list(answer.json()) == [field]
    assert not Feature.objects.exists()


def test_tags__of_another_project__rejected(
    admin: APIClient, features: str, organisation: Organisation, project: Project
) -> None:
    other = Project.objects.create(name="other", organisation=organisation)
    tags = [Tag.objects.create(label="t", color="#000000", project=each) for each in (project, other)]
    assert admin.post(features, {"name": "a", "tags": [tags[0].pk]}, "json").json()["tags"] == [tags[0].pk]
    answer = admin.post(features, {"name": "b", "tags": [tags[0].pk, tags[1].pk]}, "json")
    assert answer.json() == {"tags": [f'Invalid pk "{tags[1].pk}" - object does not exist.']}


def test_owners__given__replace_the_creator(
    admin: APIClient, features: str, member_user: FFAdminUser, permit: Callable[..., None]
) -> None:
    body = {"name": "banner", "owners": [member_user.pk]}
    assert admin.post(features, body, "json").status_code == 400
    permit("VIEW_PROJECT")
    answer = admin.post(features, body, "json")
    assert answer.status_code == 201
    assert [owner["email"] for owner in answer.json()["owners"]] == [member_user.email]
    assert answer.json()["group_owners"] == []


def test_owners__enforce_feature_owners__required(
    admin: APIClient, features: str, project: Project, user: FFAdminUser
) -> None:
    Project.objects.update(enforce_feature_owners=True)
    assert list(admin.post(features, {"name": "a"}, "json").json()) == ["owners"]
    answer = admin.post(features, {"name": "a", "owners": [user.pk]}, "json")
    assert answer.status_code == 201
    remove = f"{features}{answer.json()['id']}/remove-owners/"
    assert admin.post(remove, {"user_ids": [user.pk]}, "json").status_code == 400


def test_owners__added_and_removed__in_the_response(
    admin: APIClient, features: str, feature: Feature, user: FFAdminUser, member_user: FFAdminUser
) -> None:
    path = f"{features}{feature.pk}/"
    answer = admin.post(f"{path}add-owners/", {"user_ids": [user.pk]}, "json")
    assert answer.status_code == 200
    assert list(answer.json()) == [
        "id",
        "name",
        "created_date",
        "description",
        "initial_value",
        "default_enabled",
        "type",
        "owners",
        "group_owners",
        "is_server_key_only",
    ]
    assert [owner["id"] for owner in answer.json()["owners"]] == [user.pk]
    for unknown in (member_user.pk, 99_999):
        answer = admin.post(f"{path}add-owners/", {"user_ids": [unknown]}, "json")
        assert (answer.status_code, answer.json()) == (400, ["Some users not found"])
    assert admin.post(f"{path}add-owners/", {}, "json").json() == {"user_ids": ["This field is required."]}
    assert admin.post(f"{path}remove-owners/", {"user_ids": [user.pk]}, "json").json()["owners"] == []


def test_update__name_initial_values_and_owners__ignored(
    admin: APIClient, features: str, feature: Feature, user: FFAdminUser
) -> None:
    body = {
        "name": "other",
        "initial_value": "x",
        "default_enabled": True,
        "owners": [user.pk],
        "group_owners": [7],
        "description": "new",
        "is_archived": True,
        "project": 0,
    }
    answer = admin.patch(f"{features}{feature.pk}/", body, "json")
    assert answer.status_code == 200
    assert {name: answer.json()[name] for name in body} == {
        "name": "banner",
        "initial_value": None,
        "default_enabled": False,
        "owners": [],
        "group_owners": [],
        "description": "new",
        "is_archived": True,
        "project": feature.project_id,
    }
    feature.refresh_from_db()
    assert (feature.name, feature.initial_value, feature.default_enabled) == ("banner", None, False)


def test_update__put_without_name__full_response(admin: APIClient, features: str, feature: Feature) -> None:
    answer = admin.put(f"{features}{feature.pk}/", {"description": "d"}, "json")
    assert answer.status_code == 200
    assert list(answer.json()) == [*FIELDS, "metadata", "code_references_counts"]


def test_update__options__matched_by_id_added_and_removed(
    admin: APIClient, features: str, environment: Environment
) -> None:
    created = admin.post(features, {"name": "s", "multivariate_options": [option("a", 30), option("b", 20)]}, "json")
    path, (first, second) = f"{features}{created.json()['id']}/", created.json()["multivariate_options"]
    wanted = [{**first, "string_value": "z"}, option("c", 10)]
    answer = admin.patch(path, {"multivariate_options": wanted}, "json")
    assert answer.status_code == 200, answer.json()
    options = answer.json()["multivariate_options"]
    assert [each["string_value"] for each in options] == ["z", "c"]
    assert options[0]["id"] == first["id"]
    assert options[1]["id"] not in (first["id"], second["id"])
    shares = MultivariateFeatureStateValue.objects.values_list("multivariate_feature_option", "percentage_allocation")
    assert sorted(shares) == [(first["id"], 30), (options[1]["id"], 10)]
    emptied = admin.patch(path, {"multivariate_options": []}, "json").json()
    assert (emptied["multivariate_options"], emptied["type"]) == ([], "STANDARD")


def test_update__options_over_100_percent_in_an_environment__rejected(
    admin: APIClient, features: str, environment: Environment
) -> None:
    created = admin.post(features, {"name": "s", "multivariate_options": [option("a", 10)]}, "json")
    MultivariateFeatureStateValue.objects.update(percentage_allocation=95)
    first = created.json()["multivariate_options"][0]
    path = f"{features}{created.json()['id']}/"
    answer = admin.patch(path, {"multivariate_options": [first, option("b", 10)]}, "json")
    assert answer.json() == {"multivariate_options": ["Invalid percentage allocation"]}
    assert admin.patch(path, {"multivariate_options": [option("b", 10)]}, "json").status_code == 200


def test_update__options_and_not_project_admin__forbidden(
    admin: APIClient, member: APIClient, permit: Callable[..., None], features: str
) -> None:
    permit("VIEW_PROJECT", "CREATE_FEATURE")
    created = admin.post(features, {"name": "s", "multivariate_options": [option("a", 10)]}, "json").json()
    path = f"{features}{created['id']}/"
    assert member.patch(path, {"multivariate_options": []}, "json").status_code == 403
    assert member.patch(path, {"description": "d"}, "json").status_code == 200


def test_feature__deleted__with_states_overrides_and_segments(
    admin: APIClient,
    features: str,
    project: Project,
    feature: Feature,
    make_override: Callable[..., FeatureSegment],
    make_identity_override: Callable[..., FeatureState],
) -> None:
    make_override(feature, "s", 0)
    make_identity_override(feature, "u")
    Segment.objects.create(name="specific", project=project, feature=feature)
    assert admin.delete(f"{features}{feature.pk}/").status_code == 204
    for model in (Feature, FeatureState, FeatureStateValue, FeatureSegment):
        assert not model.objects.exists(), model
    assert [segment.name for segment in Segment.objects.all()] == ["s"]
    assert admin.get(f"{features}{feature.pk}/").json() == {"detail": "No Feature matches the given query."}


def test_feature__by_uuid__without_metadata_and_code_references(admin: APIClient, feature: Feature) -> None:
    answer = admin.get(f"/api/v1/features/get-by-uuid/{feature.uuid}/")
    assert answer.status_code == 200
    assert list(answer.json()) == FIELDS
    assert answer.json()["id"] == feature.pk


def test_features__of_another_tenant__not_found(
    admin: APIClient, outsider: APIClient, anonymous: APIClient, features: str, feature: Feature
) -> None:
    one = f"{features}{feature.pk}/"
    for path in (features, one, f"/api/v1/features/get-by-uuid/{feature.uuid}/"):
        assert outsider.get(path).status_code == 404
        assert anonymous.get(path).status_code == 401
    assert outsider.post(features, {"name": "a"}, "json").status_code == 404
    assert outsider.patch(one, {"description": "a"}, "json").status_code == 404
    assert outsider.delete(one).status_code == 404
    assert outsider.post(f"{one}add-owners/", {"user_ids": []}, "json").status_code == 404


@pytest.mark.parametrize(
    "method, keys",
    [
        ("get", {"VIEW_PROJECT"}),
        ("post", {"VIEW_PROJECT", "CREATE_FEATURE"}),
        ("patch", {"VIEW_PROJECT", "CREATE_FEATURE"}),
        ("delete", {"VIEW_PROJECT", "DELETE_FEATURE"}),
    ],
)
def test_features__member__needs_permissions(
    member: APIClient, permit: Callable[..., None], features: str, feature: Feature, method: str, keys: set[str]
) -> None:
    path = features if method == "post" else f"{features}{feature.pk}/"

    def call() -> int:
        return getattr(member, method)(path, {"name": "new"}, "json").status_code

    if method == "get":
        assert call() == 404
        permit(*keys)
        assert call() == 200
        return
    permit("VIEW_PROJECT")
    assert call() == 403
    permit(*keys)
    assert call() in (200, 201, 204)
