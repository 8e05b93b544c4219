import pytest
from pytest_django import Settings
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import Feature
from organisations.models import Organisation, Subscription
from projects.models import Project, UserProjectPermission
from segments.models import Segment
from tests.api_keys.clients import with_master_key
from tests.support.events import recorded_events
from users.models import FFAdminUser

PROJECTS = "/api/v1/projects/"

pytestmark = pytest.mark.django_db


@pytest.fixture
def path(project: Project) -> str:
    return f"{PROJECTS}{project.pk}/"


def test_project__created__creator_is_its_admin(
    admin: APIClient, user: FFAdminUser, organisation: Organisation
) -> None:
    response = admin.post(PROJECTS, {"name": "Mobile", "organisation": organisation.pk}, format="json")

    assert response.status_code == 201
    permission = UserProjectPermission.objects.get(project=response.json()["id"])
    assert (permission.user, permission.admin) == (user, True)


def test_project__created_by_a_master_key__without_user_permissions(organisation: Organisation) -> None:
    body = {"name": "Mobile", "organisation": organisation.pk}

    assert with_master_key(organisation).post(PROJECTS, body, format="json").status_code == 201
    assert not UserProjectPermission.objects.exists()


@pytest.mark.parametrize(
    "allowed, admins_only, status",
    [([], False, 403), (["CREATE_PROJECT"], False, 201), (["CREATE_PROJECT"], True, 403)],
)
def test_project__created_by_a_member__requires_create_project(
    member: APIClient,
    member_user: FFAdminUser,
    organisation: Organisation,
    allowed: list[str],
    admins_only: bool,
    status: int,
) -> None:
    organisation.userpermission.create(user=member_user).permissions.set(allowed)
    organisation.restrict_project_create_to_admin = admins_only
    organisation.save()

    body = {"name": "Mobile", "organisation": organisation.pk}
    assert member.post(PROJECTS, body, format="json").status_code == status


def test_project__in_another_tenants_organisation__404(outsider: APIClient, organisation: Organisation) -> None:
    response = outsider.post(PROJECTS, {"name": "Mine", "organisation": organisation.pk}, format="json")

    assert (response.status_code, response.json()) == (404, {"detail": "No Organisation matches the given query."})
    assert not Project.objects.exists()


@pytest.mark.parametrize(
    "body, field",
    [
        ({}, "organisation"),
        ({"organisation": "x"}, "organisation"),
        ({"organisation": None}, "organisation"),
        ({"feature_name_regex": "["}, "feature_name_regex"),
        ({"minimum_change_request_approvals": -1}, "minimum_change_request_approvals"),
        ({"enable_realtime_updates": "maybe"}, "enable_realtime_updates"),
        ({"name": ""}, "name"),
    ],
)
def test_project__invalid_field__400_names_it(
    admin: APIClient, organisation: Organisation, body: dict[str, object], field: str
) -> None:
    body = {"name": "Mobile", **({"organisation": organisation.pk} if body else {}), **body}

    response = admin.post(PROJECTS, body, format="json")

    assert (response.status_code, list(response.json())) == (400, [field])
    assert not Project.objects.exists()


def test_project__renamed_to_an_existing_name__400(admin: APIClient, organisation: Organisation, path: str) -> None:
    Project.objects.create(name="Mobile", organisation=organisation)
    Project.objects.create(name="Elsewhere", organisation=Organisation.objects.create(name="Strangers"))

    response = admin.patch(path, {"name": "Mobile"}, format="json")
    assert response.status_code == 400
    assert response.json() == {"non_field_errors": ["A project with this name already exists."]}
    assert admin.patch(path, {"name": "Elsewhere"}, format="json").status_code == 200
    assert admin.patch(path, {"name": "Elsewhere"}, format="json").status_code == 200


def test_project__put__organisation_does_not_change(
    admin: APIClient, outsider: APIClient, project: Project, path: str
) -> None:
    stranger = Organisation.objects.get(name="Strangers")

    response = admin.put(path, {"name": "Renamed", "organisation": stranger.pk}, format="json")

    assert response.status_code == 200
    assert (response.json()["name"], response.json()["organisation"]) == ("Renamed", project.organisation_id)
    assert response.json()["enable_realtime_updates"] is True


def test_projects__listed__visible_ones_filtered(
    admin: APIClient, member: APIClient, member_user: FFAdminUser, project: Project
) -> None:
    other = Project.objects.create(name="Mobile", organisation=project.organisation)
    other.userpermission.create(user=member_user).permissions.set(["VIEW_PROJECT"])

    def listed(client: APIClient, **query: object) -> list[str]:
        return [each["name"] for each in client.get(PROJECTS, query).json()]

    assert listed(admin) == ["Web", "Mobile"]
    assert listed(member) == ["Mobile"]
    assert listed(admin, uuid=other.uuid) == ["Mobile"]
    assert listed(admin, organisation=project.organisation_id, uuid="") == ["Web", "Mobile"]
    assert listed(admin, organisation=0) == []


def test_projects__invalid_filter__400(admin: APIClient) -> None:
    assert admin.get(PROJECTS, {"organisation": "x"}).json() == {"organisation": "Must be a valid integer."}
    assert admin.get(PROJECTS, {"organisation": 2**70}).json() == {"organisation": "Must be a valid integer."}
    assert admin.get(PROJECTS, {"uuid": "x"}).json() == {"uuid": ["Must be a valid UUID."]}


def test_project__retrieved__numbers_of_features_and_segments_included(
    admin: APIClient, project: Project, feature: Feature, segment: Segment, path: str
) -> None:
    retrieved = admin.get(path).json()

    assert (retrieved["total_features"], retrieved["total_segments"]) == (1, 1)
    by_uuid = admin.get(f"{PROJECTS}get-by-uuid/{project.uuid}/").json()
    assert by_uuid.items() <= retrieved.items()
    assert "total_features" not in by_uuid


def test_project__deleted__environments_and_features_deleted(
    admin: APIClient, environment: Environment, feature: Feature, path: str
) -> None:
    assert admin.delete(path).status_code == 204

    assert not Project.objects.exists()
    assert not Environment.objects.exists()
    assert not Feature.objects.exists()


def test_project_environments__admin_only__without_metadata(
    admin: APIClient, member: APIClient, member_user: FFAdminUser, project: Project, environment: Environment, path: str
) -> None:
    project.userpermission.create(user=member_user).permissions.set(["VIEW_PROJECT"])

    (listed,) = admin.get(f"{path}environments/").json()
    assert listed["api_key"] == environment.api_key
    assert "metadata" not in listed
    assert member.get(f"{path}environments/").status_code == 403


@pytest.mark.parametrize("plans, status", [((), 200), (("enterprise",), 200), (("scale-up", "startup"), 400)])
def test_realtime_updates__enabled__plan_must_allow_it(
    admin: APIClient, project: Project, path: str, settings: Settings, plans: tuple[str, ...], status: int
) -> None:
    settings.REALTIME_PLANS = plans
    Subscription.objects.update(plan="enterprise-2024")
    Project.objects.update(enable_realtime_updates=False)

    response = admin.patch(path, {"enable_realtime_updates": True, "name": "Renamed"}, format="json")

    assert response.status_code == status
    project.refresh_from_db()
    assert project.enable_realtime_updates is (status == 200)
    assert project.name == ("Renamed" if status == 200 else "Web")
    if status == 400:
        (message,) = response.json()["enable_realtime_updates"]
        assert "'enterprise-2024'" in message


def test_realtime_updates__enabled_in_a_new_project_without_the_plan__400(
    admin: APIClient, organisation: Organisation, settings: Settings
) -> None:
    settings.REALTIME_PLANS = ("scale-up",)
    Subscription.objects.all().delete()
    body = {"name": "Mobile", "organisation": organisation.pk, "enable_realtime_updates": True}

    response = admin.post(PROJECTS, body, format="json")

    assert (response.status_code, list(response.json())) == (400, ["enable_realtime_updates"])
    assert admin.post(PROJECTS, {**body, "enable_realtime_updates": False}, format="json").status_code == 201


def test_realtime_updates__plan_ended__may_stay_enabled_or_be_disabled(
    admin: APIClient, path: str, settings: Settings
) -> None:
    settings.REALTIME_PLANS = ("scale-up",)

    assert admin.put(path, {"name": "Web", "enable_realtime_updates": True}, format="json").status_code == 200
    assert admin.patch(path, {"enable_realtime_updates": False}, format="json").status_code == 200
    assert admin.patch(path, {"enable_realtime_updates": True}, format="json").status_code == 400


@pytest.mark.django_db(transaction=True)
def test_realtime_updates__changed_by_a_member_with_view_permission__403_and_no_event(
    member: APIClient, member_user: FFAdminUser, project: Project, environment: Environment, path: str
) -> None:
    project.userpermission.create(user=member_user).permissions.set(["VIEW_PROJECT", "CREATE_ENVIRONMENT"])

    with recorded_events(environment) as recorded:
        assert member.patch(path, {"enable_realtime_updates": False, "name": "Mine"}, format="json").status_code == 403

    assert recorded.of(environment) == []
    assert Project.objects.get().name == "Web"


@pytest.mark.parametrize(
    "method, path",
    [
        ("get", "{pk}/"),
        ("put", "{pk}/"),
        ("patch", "{pk}/"),
        ("delete", "{pk}/"),
        ("get", "{pk}/environments/"),
        ("get", "{pk}/my-permissions/"),
        ("get", "{pk}/user-permissions/"),
        ("post", "{pk}/user-permissions/"),
        ("get", "{pk}/tags/"),
        ("post", "{pk}/tags/"),
        ("get", "get-by-uuid/{uuid}/"),
        ("get", "999999/"),
    ],
)
def test_project__of_another_tenant__404(
    outsider: APIClient, member: APIClient, anonymous: APIClient, project: Project, method: str, path: str
) -> None:
    path = PROJECTS + path.format(pk=project.pk, uuid=project.uuid)
    for client in (outsider, member):
        response = getattr(client, method)(path, {}, format="json")
        assert (response.status_code, response.json()) == (404, {"detail": "No Project matches the given query."})
    assert getattr(anonymous, method)(path, {}, format="json").status_code == 401
