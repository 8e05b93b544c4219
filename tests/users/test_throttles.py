"""Throttles: the addresses and accounts that they count, and their cache."""

from collections.abc import Callable
from typing import Any

import pytest
from django.core.cache import cache, caches
from pytest_django import Settings
from rest_framework.test import APIClient

from settings.caches import from_url
from tests.support.patience import PATIENCE
from tests.support.redis import Redis
from users.models import FFAdminUser

LOGIN = "/api/v1/auth/login/"

pytestmark = pytest.mark.django_db


def attempts(client: APIClient, count: int, **extra: Any) -> list[int]:
    body = {"email": "nobody@example.com", "password": "x"}
    return [client.post(LOGIN, body, format="json", **extra).status_code for _ in range(count)]


@pytest.fixture(autouse=True)
def three_logins(settings: Settings) -> None:
    settings.LOGIN_THROTTLE_RATE = "3/hour"


def test_address__forwarded_by_an_untrusted_proxy__the_proxy_is_counted(anonymous: APIClient) -> None:
    statuses = [attempts(anonymous, 1, HTTP_X_FORWARDED_FOR=f"192.0.2.{number}")[0] for number in range(5)]

    assert statuses == [400, 400, 400, 429, 429]


def test_address__forwarded_by_a_trusted_proxy__the_client_is_counted(anonymous: APIClient, settings: Settings) -> None:
    settings.REALTIME_TRUSTED_PROXIES = "127.0.0.1"
    several = [attempts(anonymous, 1, HTTP_X_FORWARDED_FOR=f"192.0.2.{number}")[0] for number in range(5)]
    one = attempts(anonymous, 4, HTTP_X_FORWARDED_FOR="203.0.113.7, 192.0.2.9")

    assert several == [400] * 5
    assert one == [400, 400, 400, 429]


@pytest.mark.parametrize(
    "addresses, last",
    [
        (["2001:db8::1", "2001:db8::2:1", "2001:db8:0:0:ffff::", "2001:db8::9"], 429),
        (["2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:2::1", "2001:db8:0:3::1"], 400),
        (["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"], 400),
        (["no address"] * 4, 429),
    ],
    ids=["one network", "four networks", "four hosts", "no address"],
)
def test_addresses__in_one_ipv6_network__counted_as_one(anonymous: APIClient, addresses: list[str], last: int) -> None:
    statuses = [attempts(anonymous, 1, REMOTE_ADDR=address)[0] for address in addresses]

    assert statuses == [400, 400, 400, last]


def test_window__ended__count_starts_again(anonymous: APIClient) -> None:
    assert attempts(anonymous, 4)[-1] == 429
    cache.clear()
    assert attempts(anonymous, 1) == [400]


def test_registration__over_the_rate__throttled(anonymous: APIClient, settings: Settings) -> None:
    settings.SIGNUP_THROTTLE_RATE = "2/hour"
    responses = [anonymous.post("/api/v1/auth/users/", {}, format="json") for _ in range(3)]

    assert [response.status_code for response in responses] == [400, 400, 429]
    assert 3000 < int(responses[-1]["Retry-After"]) <= 3600


@pytest.mark.parametrize(
    "call",
    [
        pytest.param(lambda client: client.post("/api/v1/auth/users/reset_password/", {}, format="json"), id="reset"),
        pytest.param(
            lambda client: client.post("/api/v1/auth/users/reset_password_confirm/", {}, format="json"), id="confirm"
        ),
        pytest.param(lambda client: client.post("/api/v1/auth/users/set_password/", {}, format="json"), id="set"),
        pytest.param(lambda client: client.delete("/api/v1/auth/users/me/", {}, format="json"), id="delete"),
    ],
)
def test_other_password_checks__over_the_rate__throttled(
    admin: APIClient, settings: Settings, call: Callable[[APIClient], Any]
) -> None:
    settings.PASSWORD_RESET_THROTTLE_RATE = "2/hour"

    assert [call(admin).status_code for _ in range(3)] == [400, 400, 429]


def test_redis__several_processes__counted_together_and_separately_while_redis_is_unavailable(
    anonymous: APIClient, settings: Settings, redis_server: Redis, caplog: pytest.LogCaptureFixture
) -> None:
    # With the default timeouts, a process would count separately if Redis is only slow.
    patient = {"socket_connect_timeout": PATIENCE, "socket_timeout": PATIENCE}
    settings.CACHES = {"default": {**from_url(redis_server.url), "OPTIONS": patient}}
    cache.clear()
    assert attempts(anonymous, 2) == [400, 400]
    # Like another process: a new cache object, with the counters in Redis.
    del caches["default"]
    assert attempts(anonymous, 2) == [400, 429]

    settings.CACHES = {"default": from_url("redis://127.0.0.1:1")}
    assert attempts(anonymous, 4) == [400, 400, 400, 429]
    assert "throttle_counts_locally" in caplog.text


@pytest.mark.parametrize("address", ["admin@example.com", "nobody@example.com", "\u00e9 or no address at all" * 20])
def test_account__failures_over_the_rate__locked_for_the_right_password_and_all_addresses(
    anonymous: APIClient, user: FFAdminUser, settings: Settings, address: str
) -> None:
    settings.LOGIN_THROTTLE_RATE, settings.LOGIN_FAILURES_RATE = None, "3/15min"

    def attempt(number: int, password: str = "pa55-word-1", email: str = address) -> Any:
        body = {"email": email, "password": password}
        return anonymous.post(LOGIN, body, format="json", REMOTE_ADDR=f"192.0.2.{number}")

    statuses = [attempt(number, "nope").status_code for number in range(4)]
    locked = attempt(9, email=address.upper())

    assert statuses == [400, 400, 400, 429]
    assert locked.status_code == 429
    assert locked.json()["detail"].startswith("Too many failed log-ins with this address. Expected available in ")
    assert 600 < int(locked["Retry-After"]) <= 900
    FFAdminUser.objects.create_user("other@example.com", "pa55-word-1")
    assert attempt(9, email="other@example.com").status_code == 200


def test_account__right_password__count_of_failures_is_reset(
    anonymous: APIClient, user: FFAdminUser, settings: Settings
) -> None:
    settings.LOGIN_THROTTLE_RATE, settings.LOGIN_FAILURES_RATE = None, "3/15min"
    passwords = ["nope", "nope", "pa55-word-1"] * 3
    bodies = [{"email": user.email, "password": password} for password in passwords]
    assert [anonymous.post(LOGIN, body, format="json").status_code for body in bodies] == [400, 400, 200] * 3
