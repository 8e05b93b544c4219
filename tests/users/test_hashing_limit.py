"""Many passwords at once: few are hashed at the same time, the others wait for their turn, and not for ever."""

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

LOGIN = "/api/v1/auth/login/"
UNLIMITED = {"LOGIN_THROTTLE_RATE": "100000/min", "LOGIN_FAILURES_RATE": "100000/min"}

WRONG = json.dumps({"non_field_errors": ["Unable to log in with provided credentials."]})

MEGABYTE = 1_048_576
AT_ONCE = 100

Answer = tuple[int, http.client.HTTPMessage, object]


def memory(server: ServerProcess, kind: str) -> int:
    """Bytes of memory that the server has (``VmRSS``), or had at most (``VmHWM``)."""
    status = Path(f"/proc/{server.process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith(kind)).split()[1]) * 1024


def log_in(server: ServerProcess, number: int = 0, barrier: Barrier | None = None) -> Answer:
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


def log_in_at_once(server: ServerProcess, number: int = AT_ONCE) -> list[Answer]:
    barrier = Barrier(number)
    with ThreadPoolExecutor(number) as pool:
        return list(pool.map(lambda each: log_in(server, each, barrier), range(number)))


@pytest.mark.timeout(300)
def test_logins__a_hundred_wrong_ones_at_once__all_answered_and_memory_flat(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server(**UNLIMITED, PASSWORD_HASH_WAIT_SECONDS="120")
    assert log_in(server)[0] == 400
    before = memory(server, "VmRSS")

    answers = log_in_at_once(server)

    assert {(status, json.dumps(body)) for status, _, body in answers} == {(400, WRONG)}
    after = memory(server, "VmHWM")
    print(f"{before // MEGABYTE} MiB, at most {after // MEGABYTE} MiB")
    # Most of it is a hundred requests, each in a thread; without the limit it was 680 MiB and more.
    assert after - before < 200 * MEGABYTE


@pytest.mark.timeout(300)
def test_logins__that_wait__hold_no_connection_of_the_database(start_server: Callable[..., ServerProcess]) -> None:
    """A request waits three seconds for a connection, and all these log-ins take longer."""
    limits = {"MAX_CONCURRENT_PASSWORD_HASHES": "1", "PASSWORD_HASH_WAIT_SECONDS": "120", "DATABASE_POOL_SIZE": "10"}
    server = start_server("uvicorn", "postgresql", **UNLIMITED, **limits)

    assert Counter(status for status, *_ in log_in_at_once(server, 200)) == {400: 200}


@pytest.fixture
def busy(settings: Settings) -> Iterator[Event]:
    """The one thread that hashes has something else to do, until the event is set."""
    settings.PASSWORD_HASHERS = ["users.hashers.Argon2"]
    settings.MAX_CONCURRENT_PASSWORD_HASHES = 1
    settings.PASSWORD_HASH_WAIT_SECONDS = 0.05
    begun, end = Event(), Event()

    def occupy() -> None:
        begun.set()
        end.wait(PATIENCE)

    with ThreadPoolExecutor(1) as pool:
        done = pool.submit(hashing.run_in_thread, occupy)
        assert begun.wait(PATIENCE)
        yield end
        end.set()
        done.result()


BUSY = {"detail": "Too many passwords are being checked at the moment. Try again."}
PASSWORD = "pa55-word-1"
NEW = {"new_password": "a-New-0ne-indeed", "re_new_password": "a-New-0ne-indeed"}
PERSON = {"email": "new@example.com", "password": "pw-Strong-1!x", "first_name": "N", "last_name": "N"}


@pytest.fixture
def someone(settings: Settings, admin: APIClient, user: FFAdminUser) -> FFAdminUser:
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
        ("post", "auth/users/", PERSON),
        ("post", "auth/users/set_password/", {"current_password": PASSWORD, **NEW}),
        ("post", "auth/users/reset_password_confirm/", NEW),
        ("delete", "auth/users/me/", {"current_password": PASSWORD}),
    ],
)
def test_password__no_thread_free_in_time__503_and_nothing_stored(
    someone: FFAdminUser, busy: Event, admin: APIClient, method: str, path: str, body: dict[str, str]
) -> None:
    before = list(FFAdminUser.objects.values_list("password"))
    if "confirm" in path:
        body = {**reset_link(someone), **body}

    answer = getattr(admin, method)(f"/api/v1/{path}", body, format="json")

    assert (answer.status_code, answer.json(), answer.headers["Retry-After"]) == (503, BUSY, "1")
    assert list(FFAdminUser.objects.values_list("password")) == before


@pytest.mark.django_db(transaction=True)
def test_login__not_looked_at__is_no_failed_one(
    someone: FFAdminUser, busy: Event, anonymous: APIClient, settings: Settings
) -> None:
    settings.LOGIN_FAILURES_RATE = "2/hour"
    right = {"email": someone.email, "password": PASSWORD}
    statuses = [anonymous.post(LOGIN, right, format="json").status_code for _ in range(4)]
    busy.set()
    settings.PASSWORD_HASH_WAIT_SECONDS = PATIENCE

    assert statuses == [503] * 4
    assert anonymous.post(LOGIN, {**right, "password": "wrong"}, format="json").status_code == 400
    assert anonymous.post(LOGIN, right, format="json").status_code == 200


@pytest.mark.django_db(transaction=True)
def test_sign_in__of_the_dashboard__says_that_it_is_busy(someone: FFAdminUser, busy: Event) -> None:
    answer = Client().post("/sign-in/", {"email": someone.email, "password": PASSWORD})

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert BUSY["detail"] in answer.content.decode()
