from collections.abc import Callable

import pytest
from rest_framework.test import APIClient

from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from environments.models import Environment, EnvironmentAPIKey, UserEnvironmentPermission
from features.models import Feature, FeatureSegment, FeatureState
from organisations.models import Organisation
from projects.models import Project
from segments.models import Segment
from tests.api_keys.clients import with_master_key
from users.models import FFAdminUser

ENVIRONMENTS = "/api/v1/environments/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def path(environment: Environment) -> str:
    return f"{ENVIRONMENTS}{environment.api_key}/"


def test_environment__created__creator_is_its_admin(admin: APIClient, user: FFAdminUser, project: Project) -> None:
    response = admin.post(ENVIRONMENTS, {"name": "Staging", "project": project.pk}, format="json")

    assert response.status_code == 201
    permission = UserEnvironmentPermission.objects.get(environment=response.json()["id"])
    assert (permission.user, permission.admin) == (user, True)


def test_environment__created_by_a_master_key__without_user_permissions(
    organisation: Organisation, project: Project
) -> None:
    script = with_master_key(organisation)

    assert script.post(ENVIRONMENTS, {"name": "Staging", "project": project.pk}, format="json").status_code == 201
    assert not UserEnvironmentPermission.objects.exists()


@pytest.mark.parametrize("keys, status", [(["VIEW_PROJECT"], 403), (["VIEW_PROJECT", "CREATE_ENVIRONMENT"], 201)])
def test_environment__created_by_a_member__requires_create_environment(
    member: APIClient, member_user: FFAdminUser, project: Project, keys: list[str], status: int
) -> None:
    project.userpermission.create(user=member_user).permissions.set(keys)

    response = member.post(ENVIRONMENTS, {"name": "Staging", "project": project.pk}, format="json")

    assert response.status_code == status
    if status == 201:
        created = f"{ENVIRONMENTS}{response.json()['api_key']}/"
        assert member.patch(created, {"banner_text": "careful"}, format="json").status_code == 200


def test_environment__in_another_tenants_project__404(outsider: APIClient, project: Project) -> None:
    response = outsider.post(ENVIRONMENTS, {"name": "Mine", "project": project.pk}, format="json")

    assert (response.status_code, response.json()) == (404, {"detail": "No Project matches the given query."})
    assert not Environment.objects.exists()


@pytest.mark.parametrize(
    "body, field",
    [
        ({"project": None}, "project"),
        ({"project": "x"}, "project"),
        ({"name": None}, "name"),
        ({"api_key": "with/slash"}, "api_key"),
        ({"api_key": "ser.looks-like-a-secret"}, "api_key"),
        ({"api_key": "permissions"}, "api_key"),
        ({"api_key": "x" * 101}, "api_key"),
        ({"banner_colour": "#ff00000"}, "banner_colour"),
        ({"minimum_change_request_approvals": -1}, "minimum_change_request_approvals"),
    ],
)
def test_environment__invalid_field__400_names_it(
    admin: APIClient, project: Project, body: dict[str, object], field: str
) -> None:
    response = admin.post(ENVIRONMENTS, {"name": "Staging", "project": project.pk} | body, format="json")

    assert (response.status_code, list(response.json())) == (400, [field])
    assert not Environment.objects.exists()


def test_environment__name_or_key_exists__400(
    admin: APIClient, environment: Environment, production: Environment, path: str
) -> None:
    response = admin.put(path, {"name": "Production"}, format="json")
    assert response.status_code == 400
    assert response.json() == {"non_field_errors": ["An environment with this name already exists."]}
    response = admin.patch(path, {"api_key": production.api_key}, format="json")
    assert (response.status_code, list(response.json())) == (400, ["api_key"])


def test_environment__key_changed__only_the_new_key_is_found(admin: APIClient, path: str) -> None:
    assert admin.patch(path, {"api_key": "new-key_1"}, format="json").json()["api_key"] == "new-key_1"

    assert admin.get(path).status_code == 404
    assert admin.get(f"{ENVIRONMENTS}new-key_1/").status_code == 200


def test_environment__put__project_and_versioning_do_not_change(admin: APIClient, project: Project, path: str) -> None:
    other = Project.objects.create(name="Mobile", organisation=project.organisation)
    body = {"name": "Dev", "project": other.pk, "use_v2_feature_versioning": True, "is_creating": True}

    changed = admin.put(path, body, format="json").json()

    assert (changed["name"], changed["project"]) == ("Dev", project.pk)
    assert (changed["use_v2_feature_versioning"], changed["is_creating"], changed["metadata"]) == (False, False, [])


def test_environments__listed__visible_ones_of_the_project(
    admin: APIClient, member: APIClient, member_user: FFAdminUser, project: Project, environment: Environment
) -> None:
    Environment.objects.bulk_create(Environment(name=str(number), project=project) for number in range(11))
    project.userpermission.create(user=member_user).permissions.set(["VIEW_PROJECT"])
    environment.userpermission.create(user=member_user).permissions.set(["VIEW_ENVIRONMENT"])

    listed = admin.get(ENVIRONMENTS, {"project": project.pk, "page_size": 5}).json()
    assert (listed["count"], len(listed["results"])) == (12, 12)
    (visible,) = member.get(ENVIRONMENTS, {"project": project.pk}).json()["results"]
    assert visible["api_key"] == environment.api_key


@pytest.mark.parametrize("query", [{}, {"project": ""}, {"project": "x"}, {"project": "-1"}, {"project": 2**70}])
def test_environments__missing_or_invalid_project__400(admin: APIClient, query: dict[str, object]) -> None:
    response = admin.get(ENVIRONMENTS, query)

    assert (response.status_code, response.json()) == (400, ["Invalid or missing value for project parameter."])


def test_environments__project_of_another_tenant__400_like_an_unknown_project(
    outsider: APIClient, project: Project, environment: Environment
) -> None:
    response = outsider.get(ENVIRONMENTS, {"project": project.pk})

    assert (response.status_code, response.json()) == (400, ["Invalid or missing value for project parameter."])


def test_environment__retrieved__number_of_overrides_included(
    admin: APIClient, environment: Environment, feature: Feature, segment: Segment, path: str
) -> None:
    FeatureSegment.objects.create(feature=feature, segment=segment, environment=environment)

    retrieved = admin.get(path).json()

    assert retrieved["total_segment_overrides"] == 1
    by_uuid = admin.get(f"{ENVIRONMENTS}get-by-uuid/{environment.uuid}/").json()
    assert by_uuid.items() <= retrieved.items()
    assert "total_segment_overrides" not in by_uuid


def test_environment__member_with_view_permission__may_not_change_it(
    member: APIClient, member_user: FFAdminUser, project: Project, environment: Environment, path: str
) -> None:
    project.userpermission.create(user=member_user).permissions.set(["VIEW_PROJECT"])
    environment.userpermission.create(user=member_user).permissions.set(["VIEW_ENVIRONMENT"])

    assert member.get(path).status_code == 200
    assert member.get(f"{path}trait-keys/").status_code == 200
    denied = [
        member.patch(path, {"name": "Mine"}, format="json"),
        member.delete(path),
        member.post(f"{path}clone/", {"name": "Mine"}, format="json"),
        member.post(f"{path}delete-traits/", {"key": "plan"}, format="json"),
        member.get(f"{path}metrics/"),
        member.get(f"{path}api-keys/"),
    ]
    assert {response.status_code for response in denied} == {403}


@pytest.mark.parametrize(
    "method, path",
    [
        ("get", "{key}/"),
        ("put", "{key}/"),
        ("patch", "{key}/"),
        ("delete", "{key}/"),
        ("post", "{key}/clone/"),
        ("get", "{key}/my-permissions/"),
        ("get", "{key}/trait-keys/"),
        ("post", "{key}/delete-traits/"),
        ("get", "{key}/metrics/"),
        ("get", "{key}/api-keys/"),
        ("post", "{key}/api-keys/"),
        ("get", "{key}/user-permissions/"),
        ("get", "get-by-uuid/{uuid}/"),
        ("get", "no-such-key/"),
    ],
)
def test_environment__of_another_tenant__404(
    outsider: APIClient, member: APIClient, anonymous: APIClient, environment: Environment, method: str, path: str
) -> None:
    path = ENVIRONMENTS + path.format(key=environment.api_key, uuid=environment.uuid)
    for client in (outsider, member):
        response = getattr(client, method)(path, {}, format="json")
        assert (response.status_code, response.json()) == (404, {"detail": "No Environment matches the given query."})
    assert getattr(anonymous, method)(path, {}, format="json").status_code == 401


def test_server_key__created_changed_and_deleted__key_itself_does_not_change(admin: APIClient, path: str) -> None:
    keys = f"{path}api-keys/"
    response = admin.post(keys, {"name": "backend", "key": "ser.mine"}, format="json")
    assert response.status_code == 201
    key = response.json()
    assert key["key"].startswith("ser.")
    assert key["key"] != "ser.mine"

    changed = admin.put(f"{keys}{key['id']}/", {"name": "worker", "active": False, "key": "ser.mine"}, format="json")
    assert changed.json() == key | {"name": "worker", "active": False}
    assert admin.get(keys).json() == [changed.json()]
    assert admin.get(f"{keys}{key['id']}/").status_code == 405
    assert admin.delete(f"{keys}{key['id']}/").status_code == 204
    assert not EnvironmentAPIKey.objects.exists()


def test_server_key__of_another_environment__404(admin: APIClient, path: str, production: Environment) -> None:
    key = EnvironmentAPIKey.objects.create(environment=production, name="production")

    assert admin.delete(f"{path}api-keys/{key.pk}/").status_code == 404
    assert admin.patch(f"{path}api-keys/{key.pk}/", {"name": "x"}, format="json").status_code == 404


def test_traits__deleted_by_key__only_in_this_environment(
    admin: APIClient, environment: Environment, production: Environment, path: str
) -> None:
    for each in (environment, production):
        for name in ("u1", "u2"):
            identity = Identity.objects.create(identifier=name, environment=each)
            Trait.objects.bulk_create(Trait(identity=identity, trait_key=key) for key in ("plan", "age"))
    assert admin.get(f"{path}trait-keys/").json() == {"keys": ["age", "plan"]}

    response = admin.post(f"{path}delete-traits/", {"key": "plan"}, format="json")

    assert (response.status_code, response.content) == (200, b"")
    assert admin.get(f"{path}trait-keys/").json() == {"keys": ["age"]}
    assert Trait.objects.filter(trait_key="plan", identity__environment=production).count() == 2


def test_metrics__live_states__counted_without_drafts_and_archived_features(
    admin: APIClient, environment: Environment, segment: Segment, make_feature: Callable[..., Feature], path: str
) -> None:
    features = [make_feature("on", default_enabled=True), make_feature("off")]
    make_feature("old", default_enabled=True, is_archived=True)
    override = FeatureSegment.objects.create(feature=features[0], segment=segment, environment=environment)
    identity = Identity.objects.create(identifier="u1", environment=environment)
    for fields in ({"feature_segment": override}, {"identity": identity}, {"version": None}):
        FeatureState.objects.create(feature=features[0], environment=environment, **fields)

    metrics = admin.get(f"{path}metrics/").json()["metrics"]

    assert [(each["name"], each["value"], each["rank"]) for each in metrics] == [
        ("total_features", 2, 1),
        ("enabled_features", 1, 2),
        ("segment_overrides", 1, 3),
        ("identity_overrides", 1, 4),
    ]


def test_permissions__member__listed(member: APIClient) -> None:
    listed = member.get(f"{ENVIRONMENTS}permissions/").json()

    assert {each["key"] for each in listed if each["supports_tag"]} == {"UPDATE_FEATURE_STATE"}
    assert len(listed) == 7
