from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from pytest_django import Settings
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from organisations.models import Organisation
from tests.api_keys.clients import with_master_key
from users.models import FFAdminUser

LOGIN = "/api/v1/auth/login/"
ME = "/api/v1/auth/users/me/"

pytestmark = pytest.mark.django_db


def log_in(client: APIClient, email: str = "admin@example.com", password: str = "pa55-word-1", **extra: Any) -> Any:
    return client.post(LOGIN, {"email": email, "password": password}, format="json", **extra)


def test_login__right_password__same_token_each_time_and_last_login_set(
    anonymous: APIClient, user: FFAdminUser
) -> None:
    first, second = log_in(anonymous), log_in(anonymous, email="Admin@Example.com")

    assert (first.status_code, second.status_code) == (200, 200)
    assert first.json() == second.json() == {"key": Token.objects.get(user=user).key}
    user.refresh_from_db()
    assert user.last_login is not None


def test_login__wrong_password_unknown_address_inactive_user__same_response_and_work(
    anonymous: APIClient, user: FFAdminUser
) -> None:
    FFAdminUser.objects.create_user("inactive@example.com", "pa55-word-1", is_active=False)
    attempts = {}
    for name, credentials in {
        "wrong": {"password": "nope"},
        "unknown": {"email": "unknown@example.com"},
        "inactive": {"email": "inactive@example.com"},
    }.items():
        with mock.patch.object(
            MD5PasswordHasher, "encode", autospec=True, side_effect=MD5PasswordHasher.encode
        ) as encode:
            response = log_in(anonymous, **credentials)
        attempts[name] = (response.status_code, response.json(), encode.call_count)

    expected = (400, {"non_field_errors": ["Unable to log in with provided credentials."]}, 1)
    assert attempts == {"wrong": expected, "unknown": expected, "inactive": expected}
    assert not Token.objects.exists()


@pytest.mark.parametrize("body", [{}, {"email": "admin@example.com"}, {"password": "x"}, [], "text", None])
def test_login__invalid_body__400(anonymous: APIClient, body: object) -> None:
    assert anonymous.post(LOGIN, body, format="json").status_code == 400


def test_login__21st_attempt_in_an_hour__throttled(anonymous: APIClient, user: FFAdminUser, settings: Settings) -> None:
    settings.LOGIN_THROTTLE_RATE = "20/hour"
    statuses = [log_in(anonymous, password="nope").status_code for _ in range(20)]
    last = log_in(anonymous)

    assert statuses == [400] * 20
    assert last.status_code == 429
    assert int(last["Retry-After"]) > 0
    assert log_in(anonymous, REMOTE_ADDR="192.0.2.7").status_code == 200


@pytest.mark.parametrize(
    "sign_out",
    [
        pytest.param(lambda client: client.post("/api/v1/auth/logout/"), id="logout"),
        pytest.param(lambda client: client.delete("/api/v1/auth/token/"), id="delete token"),
    ],
)
def test_sign_out__either_endpoint__token_deleted(
    admin: APIClient, user: FFAdminUser, sign_out: Callable[[APIClient], Any]
) -> None:
    assert sign_out(admin).status_code == 204

    assert not Token.objects.filter(user=user).exists()
    after = admin.get(ME)
    assert (after.status_code, after.json()) == (401, {"detail": "Invalid token."})


@pytest.mark.parametrize(
    "method, path", [("post", "/api/v1/auth/logout/"), ("delete", "/api/v1/auth/token/"), ("get", ME), ("delete", ME)]
)
def test_account__caller_is_not_a_user__401_or_403(
    anonymous: APIClient, organisation: Organisation, method: str, path: str
) -> None:
    assert getattr(anonymous, method)(path).status_code == 401
    assert getattr(with_master_key(organisation), method)(path).status_code == 403
