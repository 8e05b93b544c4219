"""The limit of concurrent password hashes, and of the time that other calls wait."""

import http.client
import json
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

import pytest
from django.test import Client
from pytest_django import Settings
from rest_framework.test import APIClient

from tests.support.accounts import reset_link
from tests.support.patience import PATIENCE
from tests.support.server import ServerProcess
from users import hashing
from users.models import FFAdminUser

pytestmark = pytest.mark.slow

LOGIN = "/api/v1/auth/login/"
UNLIMITED = {"LOGIN_THROTTLE_RATE": "100000/min", "LOGIN_FAILURES_RATE": "100000/min"}

WRONG = json.dumps({"non_field_errors": ["Unable to log in with provided credentials."]})

MEGABYTE = 1_048_576
CONCURRENT_LOGINS = 100

Response = tuple[int, http.client.HTTPMessage, object]


def memory(server: ServerProcess, field: str) -> int:
    """The server's memory in bytes: current (``VmRSS``) or maximum (``VmHWM``)."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(field)).split()[1]) * 1024


def log_in(server: ServerProcess, number: int = 0, barrier: Barrier | None = None) -> Response:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    body = json.dumps({"email": f"nobody{number}@example.com", "password": "wrong"})
    try:
        connection.connect()
        if barrier is not None:
            barrier.wait(PATIENCE)
        connection.request("POST", LOGIN, body, {"Content-Type": "application/json"})
        response = connection.getresponse()
        return response.status, response.headers, json.loads(response.read())
    finally:
        connection.close()


def log_in_concurrently(server: ServerProcess, count: int = CONCURRENT_LOGINS) -> list[Response]:
    barrier = Barrier(count)
    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(lambda number: log_in(server, number, barrier), range(count)))


@pytest.mark.timeout(300)
def test_logins__a_hundred_concurrent_wrong_passwords__all_get_a_response_and_memory_is_limited(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server(**UNLIMITED, PASSWORD_HASH_WAIT_SECONDS="120")
    assert log_in(server)[0] == 400
    before = memory(server, "VmRSS")

    responses = log_in_concurrently(server)

    assert {(status, json.dumps(body)) for status, _, body in responses} == {(400, WRONG)}
    after = memory(server, "VmHWM")
    print(f"{before // MEGABYTE} MiB, at most {after // MEGABYTE} MiB")
    # Most of the increase is for a hundred requests, each in a thread. Without the limit it was at least 680 MiB.
    assert after - before < 200 * MEGABYTE


@pytest.mark.timeout(300)
def test_logins__waiting_for_a_thread__occupy_no_database_connection(
    start_server: Callable[..., ServerProcess],
) -> None:
    """A request waits at most three seconds for a connection, and these log-ins together take longer."""
    limits = {"MAX_CONCURRENT_PASSWORD_HASHES": "1", "PASSWORD_HASH_WAIT_SECONDS": "120", "DATABASE_POOL_SIZE": "10"}
    server = start_server("uvicorn", "postgresql", **UNLIMITED, **limits)

    assert Counter(status for status, *_ in log_in_concurrently(server, 200)) == {400: 200}


@pytest.fixture
def busy(settings: Settings) -> Iterator[Event]:
    """Occupies the only hashing thread until the event is set."""
    settings.PASSWORD_HASHERS = ["users.hashers.Argon2"]
    settings.MAX_CONCURRENT_PASSWORD_HASHES = 1
    settings.PASSWORD_HASH_WAIT_SECONDS = PATIENCE
    started, end = Event(), Event()

    def occupy() -> None:
        started.set()
        end.wait(PATIENCE)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(hashing.run_in_thread, occupy)
        assert started.wait(PATIENCE)
        # Only now: on a busy machine the thread itself takes longer than this to start.
        settings.PASSWORD_HASH_WAIT_SECONDS = 0.05
        yield end
        end.set()
        done.result()


BUSY = {"detail": "Too many passwords are being checked at the moment. Try again."}
PASSWORD = "pa55-word-1"
NEW = {"new_password": "a-New-0ne-indeed", "re_new_password": "a-New-0ne-indeed"}
REGISTRATION = {"email": "new@example.com", "password": "pw-Strong-1!x", "first_name": "N", "last_name": "N"}


@pytest.fixture
def argon2_user(settings: Settings, admin: APIClient, user: FFAdminUser) -> FFAdminUser:
    """A user whose password is hashed as in production."""
    settings.PASSWORD_HASHERS = ["users.hashers.Argon2"]
    user.set_password(PASSWORD)
    user.save()
    return user


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("post", "auth/login/", {"email": "admin@example.com", "password": PASSWORD}),
        ("post", "auth/login/", {"email": "nobody@example.com", "password": PASSWORD}),
        ("post", "auth/users/", REGISTRATION),
        ("post", "auth/users/set_password/", {"current_password": PASSWORD, **NEW}),
        ("post", "auth/users/reset_password_confirm/", NEW),
        ("delete", "auth/users/me/", {"current_password": PASSWORD}),
    ],
)
def test_password__no_thread_free_in_time__503_and_nothing_stored(
    argon2_user: FFAdminUser, busy: Event, admin: APIClient, method: str, path: str, body: dict[str, str]
) -> None:
    before = list(FFAdminUser.objects.values_list("password"))
    if "confirm" in path:
        body = {**reset_link(argon2_user), **body}

    response = getattr(admin, method)(f"/api/v1/{path}", body, format="json")

    assert (response.status_code, response.json(), response.headers["Retry-After"]) == (503, BUSY, "1")
    assert list(FFAdminUser.objects.values_list("password")) == before


@pytest.mark.django_db(transaction=True)
def test_login__password_not_checked__not_counted_as_a_failure(
    argon2_user: FFAdminUser, busy: Event, anonymous: APIClient, settings: Settings
) -> None:
    settings.LOGIN_FAILURES_RATE = "2/hour"
    right = {"email": argon2_user.email, "password": PASSWORD}
    statuses = [anonymous.post(LOGIN, right, format="json").status_code for _ in range(4)]
    busy.set()
    settings.PASSWORD_HASH_WAIT_SECONDS = PATIENCE

    assert statuses == [503] * 4
    assert anonymous.post(LOGIN, {**right, "password": "wrong"}, format="json").status_code == 400
    assert anonymous.post(LOGIN, right, format="json").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_dashboard_sign_in__no_thread_free_in_time__503_with_the_reason(argon2_user: FFAdminUser, busy: Event) -> None:
    response = Client().post("/sign-in/", {"email": argon2_user.email, "password": PASSWORD})

    assert (response.status_code, response.headers["Retry-After"]) == (503, "1")
    assert BUSY["detail"] in response.content.decode()
