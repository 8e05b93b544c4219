import pytest
from rest_framework.test import APIClient

from environments.models import Environment
from organisations.models import Organisation, UserOrganisation
from users.models import FFAdminUser

ME = "/api/v1/auth/users/me/"

pytestmark = pytest.mark.django_db


def test_me__get__same_response_as_flagsmith(admin: APIClient, user: FFAdminUser) -> None:
    assert list(admin.get(ME).json().items())[:8] == [
        ("first_name", "Ada"),
        ("last_name", "Admin"),
        ("sign_up_type", None),
        ("id", user.pk),
        ("email", "admin@example.com"),
        ("auth_type", "EMAIL"),
        ("is_superuser", False),
        ("date_joined", user.date_joined.isoformat().replace("+00:00", "Z")),
    ]


def test_me__patch__only_names_change(admin: APIClient, user: FFAdminUser) -> None:
    before = admin.get(ME).json()

    response = admin.patch(
        ME, {"first_name": "Augusta", "email": "x@y.z", "is_superuser": True, "id": 7}, format="json"
    )

    assert response.status_code == 200
    assert response.json() == before | {"first_name": "Augusta"}


def test_me__put__both_names_required(admin: APIClient) -> None:
    assert admin.put(ME, {"first_name": "Augusta"}, format="json").json() == {"last_name": ["This field is required."]}
    assert admin.put(ME, {"first_name": "Augusta", "last_name": "King"}, format="json").status_code == 200


@pytest.mark.parametrize(
    "body, message",
    [
        ({}, "This field is required."),
        ({"current_password": ""}, "This field may not be blank."),
        ({"current_password": "nope"}, "Invalid password."),
    ],
)
def test_me__delete_without_the_right_password__400(
    admin: APIClient, user: FFAdminUser, body: dict[str, str], message: str
) -> None:
    response = admin.delete(ME, body, format="json")

    assert (response.status_code, response.json()) == (400, {"current_password": [message]})
    assert FFAdminUser.objects.filter(pk=user.pk).exists()


def test_me__delete__user_deleted_and_organisation_kept(
    admin: APIClient, user: FFAdminUser, organisation: Organisation
) -> None:
    assert admin.delete(ME, {"current_password": "pa55-word-1"}, format="json").status_code == 204

    assert not FFAdminUser.objects.filter(pk=user.pk).exists()
    assert Organisation.objects.filter(pk=organisation.pk).exists()


def test_me__delete_with_orphans__only_organisations_without_another_member_deleted(
    admin: APIClient, user: FFAdminUser, organisation: Organisation, environment: Environment, member_user: FFAdminUser
) -> None:
    orphan = Organisation.objects.create(name="Orphan")
    UserOrganisation.objects.create(user=user, organisation=orphan, role="ADMIN")
    without_members = Organisation.objects.create(name="Without members")

    body = {"current_password": "pa55-word-1", "delete_orphan_organisations": True}
    assert admin.delete(ME, body, format="json").status_code == 204

    assert set(Organisation.objects.values_list("name", flat=True)) == {organisation.name, without_members.name}
    assert Environment.objects.filter(pk=environment.pk).exists()
