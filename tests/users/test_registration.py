import pytest
from django.utils import timezone
from pytest_django import Settings
from rest_framework.test import APIClient

from organisations.invites.models import Invite, InviteLink
from organisations.models import Organisation
from users.models import FFAdminUser

PATH = "/api/v1/auth/users/"
NEW = {"email": "Grace@Example.com", "password": "pw-Strong-1!x", "first_name": "Grace", "last_name": "Hopper"}

pytestmark = pytest.mark.django_db


def test_registration__new_address__user_with_a_valid_token_and_lower_case_address(anonymous: APIClient) -> None:
    response = anonymous.post(PATH, NEW, format="json")

    assert response.status_code == 201
    created = response.json()
    assert list(created) == [
        "first_name",
        "last_name",
        "sign_up_type",
        "email",
        "id",
        "is_active",
        "marketing_consent_given",
        "uuid",
        "key",
    ]
    assert created["email"] == "grace@example.com"
    me = anonymous.get("/api/v1/auth/users/me/", HTTP_AUTHORIZATION=f"Token {created['key']}")
    assert me.json()["id"] == created["id"]


def test_registration__invalid_token_in_the_header__ignored(anonymous: APIClient) -> None:
    assert anonymous.post(PATH, NEW, format="json", HTTP_AUTHORIZATION="Token nonsense").status_code == 201


@pytest.mark.parametrize("address", ["admin@example.com", "ADMIN@example.com"])
def test_registration__address_exists_in_any_case__400(anonymous: APIClient, user: FFAdminUser, address: str) -> None:
    response = anonymous.post(PATH, {**NEW, "email": address}, format="json")

    assert (response.status_code, response.json()) == (
        400,
        {"email": ["Email already exists. Please log in."]},
    )
    assert FFAdminUser.objects.count() == 1


@pytest.mark.parametrize(
    "change, field",
    [
        ({"password": "password"}, "password"),
        ({"password": "grace@example.com"}, "password"),
        ({"password": "x" * 4097}, "password"),
        ({"password": None}, "password"),
        ({"email": "no address"}, "email"),
        ({"email": f"{'a' * 250}@b.co"}, "email"),
        ({"first_name": "x" * 151}, "first_name"),
        ({"last_name": ""}, "last_name"),
        ({"sign_up_type": "BRIBE"}, "sign_up_type"),
    ],
)
def test_registration__invalid_field__400_names_it_and_nothing_stored(
    anonymous: APIClient, change: dict[str, object], field: str
) -> None:
    response = anonymous.post(PATH, NEW | change, format="json")

    assert response.status_code == 400
    assert list(response.json()) == [field]
    assert not FFAdminUser.objects.exists()


def test_registration__superuser__only_for_the_first_user(anonymous: APIClient) -> None:
    first = anonymous.post(PATH, {**NEW, "superuser": True}, format="json")
    second = anonymous.post(PATH, {**NEW, "email": "b@example.com", "superuser": True}, format="json")

    assert first.status_code == 201
    assert "superuser" not in first.json()
    assert (second.status_code, list(second.json())) == (400, ["superuser"])
    assert [user.is_superuser for user in FFAdminUser.objects.all()] == [True]


def test_registration__requires_an_invitation__403_without_one(anonymous: APIClient, settings: Settings) -> None:
    settings.ALLOW_REGISTRATION_WITHOUT_INVITE = False

    assert anonymous.post(PATH, NEW, format="json").status_code == 403
    assert not FFAdminUser.objects.exists()


def test_registration__requires_an_invitation__accepts_the_invited_address_and_valid_links(
    anonymous: APIClient, organisation: Organisation, settings: Settings
) -> None:
    settings.ALLOW_REGISTRATION_WITHOUT_INVITE = False
    Invite.objects.create(email="grace@example.com", organisation=organisation)
    link = InviteLink.objects.create(organisation=organisation)
    expired = InviteLink.objects.create(organisation=organisation, expires_at=timezone.now())

    by_mail, by_link = {"sign_up_type": "INVITE_EMAIL"}, {"sign_up_type": "INVITE_LINK"}
    for change in (
        {"invite_hash": link.hash},
        {"invite_hash": link.hash, "sign_up_type": "NO_INVITE"},
        {**by_mail, "email": "other@example.com"},
        by_link,
        {**by_link, "invite_hash": None},
        {**by_link, "invite_hash": "nonsense"},
        {**by_link, "invite_hash": expired.hash},
        # The response does not reveal that this address is registered.
        {"email": "admin@example.com"},
    ):
        denied = anonymous.post(PATH, NEW | change, format="json")
        assert denied.status_code == 403
        assert denied.json() == {"detail": "User registration without an invite is disabled for this installation."}
    assert FFAdminUser.objects.count() == 1

    with_mail = anonymous.post(PATH, NEW | by_mail, format="json")
    body = NEW | by_link | {"email": "b@example.com", "invite_hash": link.hash}
    with_link = anonymous.post(PATH, body, format="json")
    assert (with_mail.status_code, with_link.status_code) == (201, 201)
    assert "invite_hash" not in with_link.json()
    # Registration does not make the user a member.
    assert organisation.userorganisation_set.count() == 1
    token = f"Token {with_link.json()['key']}"
    joined = anonymous.post(f"/api/v1/users/join/link/{link.hash}/", HTTP_AUTHORIZATION=token)
    assert joined.status_code == 200
