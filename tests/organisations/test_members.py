import pytest
from rest_framework.test import APIClient

from environments.models import Environment
from organisations.models import Organisation, UserOrganisation, UserOrganisationPermission
from projects.models import Project
from users.models import FFAdminUser

pytestmark = pytest.mark.django_db


@pytest.fixture
def path(organisation: Organisation) -> str:
    return f"/api/v1/organisations/{organisation.pk}/"


@pytest.fixture
def members(path: str) -> str:
    return f"{path}users/"


def test_members__listed__with_their_roles(
    member: APIClient, user: FFAdminUser, member_user: FFAdminUser, members: str
) -> None:
    listed = member.get(members).json()

    assert list(listed[0]) == [
        "id",
        "email",
        "first_name",
        "last_name",
        "last_login",
        "uuid",
        "role",
        "date_joined",
    ]
    assert [(each["id"], each["role"]) for each in listed] == [(user.pk, "ADMIN"), (member_user.pk, "USER")]
    others = member.get(members, {"exclude_current": "true"}).json()
    assert [each["id"] for each in others] == [user.pk]
    assert member.get(members, {"exclude_current": "perhaps"}).status_code == 400


def test_member__role_changed__applies_to_the_next_request(
    admin: APIClient, member: APIClient, member_user: FFAdminUser, organisation: Organisation, path: str, members: str
) -> None:
    assert member.get(path).status_code == 403

    response = admin.post(f"{members}{member_user.pk}/update-role/", {"role": "ADMIN"}, format="json")

    assert response.status_code == 200
    membership = response.json()
    assert (membership["id"], membership["role"]) == (member_user.pk, "ADMIN")
    assert membership["organisation"] == {"id": organisation.pk, "name": "Acme"}
    assert member.get(path).status_code == 200


def test_member__role_changed_by_a_member__403(member: APIClient, member_user: FFAdminUser, members: str) -> None:
    response = member.post(f"{members}{member_user.pk}/update-role/", {"role": "ADMIN"}, format="json")

    assert response.status_code == 403
    assert UserOrganisation.objects.get(user=member_user).role == "USER"


def test_members__removed__their_permissions_deleted(
    admin: APIClient,
    member: APIClient,
    member_user: FFAdminUser,
    organisation: Organisation,
    environment: Environment,
    path: str,
) -> None:
    environment.userpermission.create(user=member_user, admin=True)
    environment.project.userpermission.create(user=member_user, admin=True)
    organisation.userpermission.create(user=member_user)
    other_project = Project.objects.create(name="Other", organisation=Organisation.objects.create(name="Other"))
    other_permission = other_project.userpermission.create(user=member_user)

    response = admin.post(f"{path}remove-users/", [{"id": member_user.pk}], format="json")

    assert (response.status_code, response.json()) == (200, [{"id": member_user.pk}])
    assert member.get(f"/api/v1/projects/{environment.project_id}/").status_code == 404
    assert not environment.userpermission.exists()
    assert not UserOrganisationPermission.objects.exists()
    assert list(other_project.userpermission.all()) == [other_permission]


def test_members__removed_with_a_non_member__400_and_none_removed(
    admin: APIClient, outsider: APIClient, member_user: FFAdminUser, path: str
) -> None:
    stranger = FFAdminUser.objects.get(email="stranger@example.com")

    response = admin.post(f"{path}remove-users/", [{"id": member_user.pk}, {"id": stranger.pk}], format="json")

    assert response.status_code == 400
    assert response.json() == [{}, {"id": [f"User with id {stranger.pk} does not exist"]}]
    assert UserOrganisation.objects.filter(user=member_user).exists()


def test_create_project_permission__created_and_deleted__shown_in_my_permissions(
    admin: APIClient, member: APIClient, member_user: FFAdminUser, path: str
) -> None:
    assert member.get(f"{path}my-permissions/").json() == {
        "permissions": [],
        "admin": False,
        "tag_based_permissions": [],
    }

    body = {"user": member_user.pk, "permissions": ["CREATE_PROJECT"]}
    created = admin.post(f"{path}user-permissions/", body, format="json")
    assert created.status_code == 201
    assert created.json() == {"id": created.json()["id"], **body}
    assert member.get(f"{path}my-permissions/").json()["permissions"] == ["CREATE_PROJECT"]
    (listed,) = admin.get(f"{path}user-permissions/", {"user": member_user.pk}).json()
    assert listed["user"]["email"] == "member@example.com"
    assert admin.get(f"{path}user-permissions/", {"user": 0}).json() == []

    assert admin.delete(f"{path}user-permissions/{created.json()['id']}/").status_code == 204
    assert member.get(f"{path}my-permissions/").json()["permissions"] == []


def test_my_permissions__admin__admin_without_permissions(admin: APIClient, path: str) -> None:
    assert admin.get(f"{path}my-permissions/").json() == {
        "permissions": [],
        "admin": True,
        "tag_based_permissions": [],
    }
