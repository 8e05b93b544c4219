"""The second factor: setup, and log-in with a code."""

import random
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any
from unittest import mock

import pytest
from django.utils import timezone
from django_otp.plugins.otp_totp.models import TOTPDevice
from pytest_django import Settings
from rest_framework.authtoken.models import Token
from rest_framework.test import APIClient

from organisations.models import Organisation
from tests.api_keys.clients import with_master_key
from tests.support.accounts import code_of, device_of
from users.models import BackupCode, FFAdminUser

AUTH = "/api/v1/auth/"
WRONG = "000000"

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def clock() -> Iterator[mock.Mock]:
    """The clock of codes. It is stopped; tests move it."""
    with mock.patch("django_otp.plugins.otp_totp.models.time") as module:
        module.time.return_value = 1_800_000_000.0
        yield module.time


@pytest.fixture(autouse=True)
def secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Makes secrets the same in every run. With random ones, WRONG would be a right code now and then."""
    generator = random.Random(1)
    monkeypatch.setattr(
        "django_otp.plugins.otp_totp.models.random_hex", lambda length: generator.randbytes(length).hex()
    )


def post(client: APIClient, path: str, **body: Any) -> Any:
    return client.post(f"{AUTH}{path}", body, format="json")


def ephemeral_token(client: APIClient) -> str:
    """Log in by password."""
    response = post(client, "login/", email="admin@example.com", password="pa55-word-1")
    assert response.status_code == 200
    assert set(response.json()) == {"ephemeral_token", "method"}
    token: str = response.json()["ephemeral_token"]
    return token


def log_in_with_code(client: APIClient, token: str, code: str) -> Any:
    return post(client, "login/code/", ephemeral_token=token, code=code)


def enrol(client: APIClient, user: FFAdminUser, clock: mock.Mock) -> list[str]:
    """Set up a second factor, and return its backup codes. Moves the clock, so that the next code is another one."""
    assert post(client, "app/activate/").status_code == 200
    response = post(client, "app/activate/confirm/", code=code_of(user, at=clock.return_value))
    assert response.status_code == 200
    clock.return_value += 60
    codes: list[str] = response.json()["backup_codes"]
    return codes


def test_enrolment__confirmed__next_log_in_requires_a_code(
    admin: APIClient, anonymous: APIClient, user: FFAdminUser, clock: mock.Mock
) -> None:
    enrolment = post(admin, "app/activate/").json()
    assert enrolment["qr_link"].startswith("otpauth://totp/Flagsmith")
    assert f"secret={enrolment['secret']}" in enrolment["qr_link"]
    assert post(admin, "app/activate/").json() == enrolment
    assert "key" in post(anonymous, "login/", email=user.email, password="pa55-word-1").json()
    assert admin.get(f"{AUTH}mfa/user-active-methods/").json() == []

    codes = enrol(admin, user, clock)

    assert len(set(codes)) == 5
    assert admin.get(f"{AUTH}mfa/user-active-methods/").json() == [{"name": "app", "is_primary": True}]
    response = log_in_with_code(anonymous, ephemeral_token(anonymous), code_of(user, at=clock.return_value))
    assert (response.status_code, response.json()) == (200, {"key": Token.objects.get(user=user).key})


def test_enrolment__requests_in_the_wrong_order__flagsmiths_errors(
    admin: APIClient, user: FFAdminUser, organisation: Organisation, clock: mock.Mock
) -> None:
    missing = post(admin, "app/activate/confirm/", code=WRONG)
    assert (missing.status_code, missing.json()) == (400, {"code": ["Requested MFA method does not exist."]})
    none = post(admin, "app/deactivate/")
    assert (none.status_code, none.json()) == (400, {"error": "Requested MFA method does not exist."})
    post(admin, "app/activate/")
    unconfirmed = post(admin, "app/deactivate/")
    assert (unconfirmed.status_code, unconfirmed.json()) == (400, {"error": "2FA is not enabled."})
    wrong = post(admin, "app/activate/confirm/", code="12")
    assert (wrong.status_code, wrong.json()) == (400, {"code": ["Code invalid or expired."]})
    TOTPDevice.objects.update(throttling_failure_timestamp=None)
    enrol(admin, user, clock)
    again = post(admin, "app/activate/")
    assert (again.status_code, again.json()) == (400, {"error": "MFA method already active."})
    assert post(admin, "sms/activate/").status_code == 404
    assert post(with_master_key(organisation), "app/activate/").status_code == 403


def test_deactivation__log_in_after_it__password_only_and_next_secret_is_new(
    admin: APIClient, anonymous: APIClient, user: FFAdminUser, clock: mock.Mock
) -> None:
    enrol(admin, user, clock)
    secret = device_of(user).key
    assert post(admin, "app/deactivate/").status_code == 204

    assert "key" in post(anonymous, "login/", email=user.email, password="pa55-word-1").json()
    assert not BackupCode.objects.exists()
    post(admin, "app/activate/")
    assert TOTPDevice.objects.get().key != secret


def test_code__used_twice__401_the_second_time(
    admin: APIClient, anonymous: APIClient, user: FFAdminUser, clock: mock.Mock
) -> None:
    enrol(admin, user, clock)
    token, code = ephemeral_token(anonymous), code_of(user, at=clock.return_value)
    assert log_in_with_code(anonymous, token, code).status_code == 200

    again = log_in_with_code(anonymous, ephemeral_token(anonymous), code)
    assert (again.status_code, again.json()) == (401, {"error": "Invalid or expired code."})


def test_code__used_for_the_enrolment__401_at_log_in(
    admin: APIClient, anonymous: APIClient, user: FFAdminUser, clock: mock.Mock
) -> None:
    code = code_of(user, confirmed=False, at=clock.return_value)
    assert post(admin, "app/activate/confirm/", code=code).status_code == 200

    assert log_in_with_code(anonymous, ephemeral_token(anonymous), code).status_code == 401


@pytest.mark.parametrize("code", [WRONG, "", "１２３４５６", "x" * 16, "12345678901234567890"])
def test_code__wrong__401_and_no_key(
    admin: APIClient, anonymous: APIClient, user: FFAdminUser, clock: mock.Mock, code: str
) -> None:
    enrol(admin, user, clock)
    response = log_in_with_code(anonymous, ephemeral_token(anonymous), code)

    assert response.status_code == (401 if code else 400)
    assert "key" not in response.json()


def test_code__wrong_repeatedly__account_is_locked_for_longer_each_time(
    admin: APIClient, anonymous: APIClient, user: FFAdminUser, clock: mock.Mock
) -> None:
    enrol(admin, user, clock)
    waits = []
    # The lock uses another clock, which is stopped too.
    now = timezone.now()
    for _ in range(12):
        with mock.patch("django.utils.timezone.now", return_value=now):
            token = ephemeral_token(anonymous)
            assert log_in_with_code(anonymous, token, WRONG).status_code == 401
            # A right code from another address.
            locked = anonymous.post(
                f"{AUTH}login/code/",
                {"ephemeral_token": token, "code": code_of(user, at=clock.return_value)},
                format="json",
                REMOTE_ADDR="192.0.2.7",
            )
        assert locked.status_code == 429
        waits.append(int(locked["Retry-After"]))
        now += timedelta(seconds=waits[-1])
    # The wait is limited, so that an attacker with the password cannot lock the owner out.
    assert waits == [1, 2, 4, 8, 16, 32, 64, 128] + [256] * 4
    with mock.patch("django.utils.timezone.now", return_value=now):
        assert log_in_with_code(anonymous, token, code_of(user, at=clock.return_value)).status_code == 200


def test_code__sixth_attempt_from_an_address_in_an_hour__throttled(
    admin: APIClient, anonymous: APIClient, settings: Settings
) -> None:
    settings.CODE_THROTTLE_RATE = "5/hour"
    attempts = [log_in_with_code(anonymous, "nonsense", WRONG) for _ in range(6)]

    assert [response.status_code for response in attempts] == [401] * 5 + [429]
    assert 0 < int(attempts[-1]["Retry-After"]) <= 3600


def test_ephemeral_token__used_for_other_requests__not_accepted(
    admin: APIClient, anonymous: APIClient, user: FFAdminUser, clock: mock.Mock
) -> None:
    enrol(admin, user, clock)
    token = ephemeral_token(anonymous)
    for header in (f"Token {token}", f"Api-Key {token}"):
        assert anonymous.get(f"{AUTH}users/me/", HTTP_AUTHORIZATION=header).status_code == 401
    reset = {"uid": "MQ", "token": token, "new_password": "pw-Strong-1!x", "re_new_password": "pw-Strong-1!x"}
    assert post(anonymous, "users/reset_password_confirm/", **reset).status_code == 400


def test_ephemeral_token__forged_expired_or_invalidated__401(
    admin: APIClient, anonymous: APIClient, user: FFAdminUser, clock: mock.Mock
) -> None:
    enrol(admin, user, clock)
    expected = (401, {"error": "Invalid or expired token."})

    def attempt(token: str) -> tuple[int, Any]:
        response = log_in_with_code(anonymous, token, code_of(user, at=clock.return_value))
        return response.status_code, response.json()

    token = ephemeral_token(anonymous)
    assert attempt(f"{token[:-1]}{'A' if token[-1] != 'A' else 'B'}") == expected
    with mock.patch("django.core.signing.time.time", return_value=time.time() + 15 * 60 + 5):
        assert attempt(token) == expected
    user.set_password("another-pa55-word")
    user.save()
    assert attempt(token) == expected
    user.set_password("pa55-word-1")
    user.save()
    first, second = ephemeral_token(anonymous), ephemeral_token(anonymous)
    assert attempt(first)[0] == 200
    clock.return_value += 60
    # The log-in with the first token has invalidated both.
    assert attempt(first) == attempt(second) == expected
    FFAdminUser.objects.update(is_active=False)
    assert attempt(second) == expected


def test_backup_code__used_twice__401_the_second_time(
    admin: APIClient, anonymous: APIClient, user: FFAdminUser, clock: mock.Mock
) -> None:
    codes = enrol(admin, user, clock)
    assert log_in_with_code(anonymous, ephemeral_token(anonymous), codes[0]).status_code == 200
    assert log_in_with_code(anonymous, ephemeral_token(anonymous), codes[0]).status_code == 401
    TOTPDevice.objects.update(throttling_failure_timestamp=None)
    assert log_in_with_code(anonymous, ephemeral_token(anonymous), codes[1]).status_code == 200


def test_backup_codes__stored__as_hashes_only(admin: APIClient, user: FFAdminUser, clock: mock.Mock) -> None:
    codes = enrol(admin, user, clock)
    stored = " ".join(BackupCode.objects.values_list("digest", flat=True))

    assert len(stored.split()) == 5
    assert not any(code in stored for code in codes)


def test_backup_code__of_another_user__401(
    admin: APIClient,
    member: APIClient,
    member_user: FFAdminUser,
    user: FFAdminUser,
    anonymous: APIClient,
    clock: mock.Mock,
) -> None:
    enrol(admin, user, clock)
    others = enrol(member, member_user, clock)

    assert log_in_with_code(anonymous, ephemeral_token(anonymous), others[0]).status_code == 401


def test_required_second_factor__member_without_one__may_only_set_one_up(
    admin: APIClient, member: APIClient, member_user: FFAdminUser, organisation: Organisation, clock: mock.Mock
) -> None:
    organisation.force_2fa = True
    organisation.save()
    for method, path in (
        ("get", "projects/"),
        ("post", "organisations/"),
        ("patch", "auth/users/me/"),
        ("get", f"organisations/{organisation.pk}/my-permissions/"),
    ):
        denied = getattr(member, method)(f"/api/v1/{path}", {}, format="json")
        assert denied.status_code == 403, path
        assert "second factor" in denied.json()["detail"]
    assert member.get("/api/v1/organisations/").json()["results"][0]["force_2fa"] is True
    assert member.get(f"{AUTH}users/me/").status_code == 200

    enrol(member, member_user, clock)

    assert member.get("/api/v1/projects/").status_code == 200
    assert admin.get("/api/v1/projects/").status_code == 403
    assert with_master_key(organisation).get("/api/v1/projects/").status_code == 200


def test_required_second_factor__user_of_another_organisation__not_affected(
    outsider: APIClient, organisation: Organisation
) -> None:
    organisation.force_2fa = True
    organisation.save()

    assert outsider.get("/api/v1/projects/").status_code == 200
