import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django import Settings
from rest_framework.test import APIClient

from environments.models import Environment
from features.models import FeatureState
from organisations.models import Organisation, Subscription, UserOrganisation
from projects.models import Project
from tests.api_keys.clients import with_master_key
from users.models import FFAdminUser

ORGANISATIONS = "/api/v1/organisations/"

pytestmark = pytest.mark.django_db


def test_organisation__created__creator_is_admin_with_the_default_plan(
    admin: APIClient, user: FFAdminUser, settings: Settings
) -> None:
    settings.DEFAULT_SUBSCRIPTION_PLAN = "startup"

    response = admin.post(ORGANISATIONS, {"name": "Second", "force_2fa": True}, format="json")

    assert response.status_code == 201
    created = response.json()
    assert (created["num_seats"], created["role"], created["force_2fa"]) == (1, None, True)
    assert created["subscription"]["plan"] == "startup"
    assert UserOrganisation.objects.get(organisation=created["id"]).role == "ADMIN"
    listed = admin.get(ORGANISATIONS).json()
    assert [(each["name"], each["role"]) for each in listed["results"]] == [("Acme", "ADMIN"), ("Second", "ADMIN")]


def test_organisation__created_by_a_master_key__403(organisation: Organisation) -> None:
    assert with_master_key(organisation).post(ORGANISATIONS, {"name": "x"}, format="json").status_code == 403


def test_organisations__listed__number_of_members_and_role_of_the_caller(
    member: APIClient, organisation: Organisation
) -> None:
    (listed,) = member.get(ORGANISATIONS).json()["results"]

    assert (listed["id"], listed["num_seats"], listed["role"]) == (organisation.pk, 2, "USER")


def test_organisations__more_of_them__same_number_of_queries(admin: APIClient, user: FFAdminUser) -> None:
    with CaptureQueriesContext(connection) as one:
        admin.get(ORGANISATIONS)
    for number in range(5):
        organisation = Organisation.objects.create(name=f"Organisation {number}")
        Subscription.objects.create(organisation=organisation)
        UserOrganisation.objects.create(organisation=organisation, user=user, role="USER")

    with CaptureQueriesContext(connection) as six:
        assert len(admin.get(ORGANISATIONS, {"page_size": 2}).json()["results"]) == 6
    assert len(six) == len(one)


def test_organisation__patched__plan_and_read_only_fields_do_not_change(
    admin: APIClient, organisation: Organisation
) -> None:
    path = f"{ORGANISATIONS}{organisation.pk}/"
    before = admin.get(path).json()

    body = {"name": "Ajax", "subscription": {"plan": "free"}, "persist_trait_data": False, "num_seats": 9}
    response = admin.patch(path, body, format="json")

    assert response.status_code == 200
    assert response.json() == before | {"name": "Ajax"}
    assert admin.get(path).json() == before | {"name": "Ajax"}


def test_organisation__deleted__everything_in_it_deleted(
    admin: APIClient, organisation: Organisation, state: FeatureState
) -> None:
    foreign = Project.objects.create(name="Other", organisation=Organisation.objects.create(name="Strangers"))

    assert admin.delete(f"{ORGANISATIONS}{organisation.pk}/").status_code == 204

    assert list(Organisation.objects.values_list("name", flat=True)) == ["Strangers"]
    assert list(Project.objects.all()) == [foreign]
    assert not Environment.objects.exists()
    assert not FeatureState.objects.exists()


def test_organisation__member__may_list_but_not_retrieve_or_change_it(
    member: APIClient, organisation: Organisation
) -> None:
    path = f"{ORGANISATIONS}{organisation.pk}/"

    assert member.get(f"{ORGANISATIONS}get-by-uuid/{organisation.uuid}/").json()["role"] == "USER"
    assert [member.get(path).status_code, member.delete(path).status_code] == [403, 403]
    assert member.patch(path, {"name": "Mine"}, format="json").status_code == 403


@pytest.mark.parametrize(
    "method, path",
    [
        ("get", "{pk}/"),
        ("patch", "{pk}/"),
        ("delete", "{pk}/"),
        ("get", "{pk}/projects/"),
        ("get", "{pk}/users/"),
        ("get", "{pk}/my-permissions/"),
        ("get", "{pk}/user-permissions/"),
        ("post", "{pk}/user-permissions/"),
        ("post", "{pk}/remove-users/"),
        ("post", "{pk}/users/1/update-role/"),
        ("get", "get-by-uuid/{uuid}/"),
    ],
)
def test_organisation__of_another_tenant__404(
    outsider: APIClient, anonymous: APIClient, organisation: Organisation, method: str, path: str
) -> None:
    path = ORGANISATIONS + path.format(pk=organisation.pk, uuid=organisation.uuid)

    response = getattr(outsider, method)(path, {}, format="json")

    assert response.status_code == 404
    assert response.json() == {"detail": "No Organisation matches the given query."}
    assert getattr(anonymous, method)(path, {}, format="json").status_code == 401


def test_organisation_projects__member__only_visible_ones(
    admin: APIClient, member: APIClient, member_user: FFAdminUser, organisation: Organisation, project: Project
) -> None:
    path = f"{ORGANISATIONS}{organisation.pk}/projects/"
    assert [each["id"] for each in admin.get(path).json()] == [project.pk]
    assert member.get(path).json() == []

    project.userpermission.create(user=member_user).permissions.set(["VIEW_PROJECT"])
    assert [each["id"] for each in member.get(path).json()] == [project.pk]


def test_organisation_permissions__member__listed(member: APIClient) -> None:
    listed = member.get(f"{ORGANISATIONS}permissions/").json()

    assert [(each["key"], each["supports_tag"]) for each in listed] == [
        ("CREATE_PROJECT", False),
        ("MANAGE_USER_GROUPS", False),
    ]
