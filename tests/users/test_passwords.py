"""Passwords: storage, change and reset."""

import re
from typing import Any

import pytest
from django.conf import settings as configured
from django.contrib.auth.hashers import make_password
from django.core import mail as outbox
from pytest_django import Settings
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from core import mail
from settings import base
from tests.support.accounts import device_of
from users.models import FFAdminUser

AUTH = "/api/v1/auth/"
OLD, NEW = "pa55-word-1", "a-New-0ne-indeed"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def empty_outbox() -> None:
    """Wait for mails of other tests and remove them."""
    mail.wait()
    outbox.outbox.clear()


def post(client: APIClient, path: str, **body: Any) -> Any:
    return client.post(f"{AUTH}{path}", body, format="json")


def log_in(client: APIClient, password: str) -> Any:
    return post(client, "login/", email="admin@example.com", password=password)


def link_in_mail() -> dict[str, str]:
    """Wait for the message, and return the ``uid`` and ``token`` of its link."""
    mail.wait()
    (message,) = outbox.outbox
    match = re.search(rf"{configured.PUBLIC_URL}/password-reset/confirm/(\w+)/(\S+)", str(message.body))
    assert match is not None
    return {"uid": match[1], "token": match[2]}


def test_password__new__stored_with_argon2id(anonymous: APIClient, settings: Settings) -> None:
    settings.PASSWORD_HASHERS = base.PASSWORD_HASHERS
    person = {"email": "g@example.com", "password": NEW, "first_name": "G", "last_name": "H"}
    assert post(anonymous, "users/", **person).status_code == 201

    stored = FFAdminUser.objects.get().password
    assert stored.startswith("argon2$argon2id$v=19$m=19456,t=2,p=1$")
    assert post(anonymous, "login/", email="g@example.com", password=NEW).status_code == 200


def test_password__hashed_with_pbkdf2__accepted_and_hashed_again_with_argon2(
    anonymous: APIClient, user: FFAdminUser, settings: Settings
) -> None:
    settings.PASSWORD_HASHERS = base.PASSWORD_HASHERS
    FFAdminUser.objects.update(password=make_password(OLD, hasher="pbkdf2_sha256"))

    assert log_in(anonymous, "wrong").status_code == 400
    assert FFAdminUser.objects.get().password.startswith("pbkdf2_sha256$")
    assert log_in(anonymous, OLD).status_code == 200
    assert FFAdminUser.objects.get().password.startswith("argon2$argon2id$")
    assert log_in(anonymous, OLD).status_code == 200


def test_set_password__right_current_password__changed_and_token_stays_valid(
    admin: APIClient, anonymous: APIClient, user: FFAdminUser
) -> None:
    changed = post(admin, "users/set_password/", current_password=OLD, new_password=NEW, re_new_password=NEW)

    assert (changed.status_code, changed.content) == (204, b"")
    assert (log_in(anonymous, OLD).status_code, log_in(anonymous, NEW).status_code) == (400, 200)
    assert admin.get(f"{AUTH}users/me/").status_code == 200


@pytest.mark.parametrize(
    "change, errors",
    [
        ({"current_password": "nope"}, {"current_password": ["Invalid password."]}),
        ({"re_new_password": "other"}, {"non_field_errors": ["The two password fields didn't match."]}),
        (
            {"new_password": "admin@example.com", "re_new_password": "admin@example.com"},
            {"new_password": ["The password is too similar to the email."]},
        ),
    ],
)
def test_set_password__invalid__400_and_not_changed(
    admin: APIClient, user: FFAdminUser, change: dict[str, str], errors: dict[str, Any]
) -> None:
    body = {"current_password": OLD, "new_password": NEW, "re_new_password": NEW, **change}
    response = post(admin, "users/set_password/", **body)

    assert (response.status_code, response.json()) == (400, errors)
    user.refresh_from_db()
    assert user.check_password(OLD)


def test_reset__link_from_the_mail__works_once_and_signs_the_user_out(
    admin: APIClient, anonymous: APIClient, user: FFAdminUser, settings: Settings
) -> None:
    response = post(anonymous, "users/reset_password/", email="Admin@Example.com")
    assert (response.status_code, response.content) == (204, b"")
    link = link_in_mail()
    assert outbox.outbox[0].to == ["admin@example.com"]
    settings.LOGIN_FAILURES_RATE = "2/15min"
    assert [log_in(anonymous, "nope").status_code for _ in range(3)] == [400, 400, 429]

    confirmed = post(anonymous, "users/reset_password_confirm/", **link, new_password=NEW, re_new_password=NEW)

    assert (confirmed.status_code, confirmed.content) == (204, b"")
    assert not Token.objects.exists()
    assert admin.get(f"{AUTH}users/me/").status_code == 401
    assert (log_in(anonymous, OLD).status_code, log_in(anonymous, NEW).status_code) == (400, 200)
    again = post(anonymous, "users/reset_password_confirm/", **link, new_password=OLD, re_new_password=OLD)
    assert (again.status_code, again.json()) == (400, {"token": ["Invalid token for given user."]})


def test_reset__second_factor__still_required(anonymous: APIClient, user: FFAdminUser) -> None:
    device_of(user)
    post(anonymous, "users/reset_password/", email=user.email)
    post(anonymous, "users/reset_password_confirm/", **link_in_mail(), new_password=NEW, re_new_password=NEW)

    assert set(log_in(anonymous, NEW).json()) == {"ephemeral_token", "method"}


@pytest.mark.parametrize("address", ["unknown@example.com", "inactive@example.com"])
def test_reset__unknown_or_inactive_address__same_response_and_no_mail(
    anonymous: APIClient, user: FFAdminUser, address: str
) -> None:
    FFAdminUser.objects.create_user("inactive@example.com", OLD, is_active=False)
    known = post(anonymous, "users/reset_password/", email=user.email)
    mail.wait()
    outbox.outbox.clear()

    response = post(anonymous, "users/reset_password/", email=address)

    mail.wait()
    assert (response.status_code, response.content, response.headers) == (204, b"", known.headers)
    assert not outbox.outbox


@pytest.mark.parametrize("host", ["evil.example", "localhost:1"])
def test_reset__forged_host_header__not_in_the_link(anonymous: APIClient, user: FFAdminUser, host: str) -> None:
    anonymous.post(f"{AUTH}users/reset_password/", {"email": user.email}, format="json", HTTP_HOST=host)

    link_in_mail()
    assert host not in str(outbox.outbox[0].body)


@pytest.mark.parametrize("uid", ["", "MQ", "MTIzNDU2", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5", "é", "!!!", "eA"])
def test_reset_confirm__invalid_or_wrong_uid__same_response(anonymous: APIClient, user: FFAdminUser, uid: str) -> None:
    body = {"uid": uid or "x", "token": "abc-123", "new_password": NEW, "re_new_password": NEW}
    response = post(anonymous, "users/reset_password_confirm/", **body)

    assert (response.status_code, response.json()) == (400, {"token": ["Invalid token for given user."]})


def test_reset__seven_requests__five_mails_a_day_for_an_account(
    anonymous: APIClient, user: FFAdminUser, settings: Settings
) -> None:
    settings.PASSWORD_RESET_MAIL_RATE = "5/day"
    for number in range(7):
        path = f"{AUTH}users/reset_password/"
        address = f"192.0.2.{number}"
        assert anonymous.post(path, {"email": user.email}, format="json", REMOTE_ADDR=address).status_code == 204
    mail.wait()
    assert len(outbox.outbox) == 5


def test_reset__without_a_mail_server__message_in_a_private_file(
    anonymous: APIClient, user: FFAdminUser, settings: Settings, tmp_path: Any
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.filebased.EmailBackend"
    settings.EMAIL_FILE_PATH = tmp_path / "mail"
    post(anonymous, "users/reset_password/", email=user.email)
    mail.wait()

    (message,) = (tmp_path / "mail").iterdir()
    assert "/password-reset/confirm/" in message.read_text()
    assert (tmp_path / "mail").stat().st_mode & 0o077 == 0


def test_reset__mail_server_unavailable__same_response_and_no_secret_logged(
    anonymous: APIClient, user: FFAdminUser, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", 1
    assert post(anonymous, "users/reset_password/", email=user.email).status_code == 204
    mail.wait()

    assert "message_not_sent" in caplog.text
    assert "password-reset" not in caplog.text
    assert user.email not in caplog.text
