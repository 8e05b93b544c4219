"""What a project needs to serve streams: its database and its Redis by URL, and its health."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.backends.utils import CursorWrapper
from django.http import JsonResponse
from django.test import RequestFactory

from realtime.http import drain
from realtime.serving import databases, health, redis_urls


def answered(response: JsonResponse) -> tuple[int, dict[str, object]]:
    return response.status_code, json.loads(response.content)


def test_liveness__no_event_loop__alive_as_long_as_it_answers() -> None:
    assert answered(health.liveness(RequestFactory().get("/health/liveness"))) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_readiness__database_away__503_that_says_so() -> None:
    request = RequestFactory().get("/health/readiness")
    with mock.patch.object(CursorWrapper, "execute", side_effect=OperationalError("gone")):
        status, told = answered(health.readiness(request))
    assert (status, told["database"]) == (503, "the database does not answer")
    assert answered(health.readiness(request))[0] == 200


@contextmanager
def without_a_table() -> Iterator[None]:
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute("ALTER TABLE realtime_externalenvironment RENAME TO elsewhere")
        try:
            yield
        finally:
            cursor.execute("ALTER TABLE elsewhere RENAME TO realtime_externalenvironment")


@pytest.mark.django_db(transaction=True)
def test_readiness__no_tables_yet__503_that_says_what_makes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_has_tables", False)
    with without_a_table():
        status, told = answered(health.readiness(RequestFactory().get("/health/readiness")))
    assert (status, told["database"]) == (503, "it has no tables yet: manage.py migrate makes them")


@pytest.mark.django_db(transaction=True)
def test_readiness__tables_once_seen__not_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_has_tables", False)
    request = RequestFactory().get("/health/readiness")
    assert answered(health.readiness(request))[0] == 200
    with without_a_table():
        assert answered(health.readiness(request))[0] == 200


@pytest.mark.django_db
def test_readiness__drain__503_that_says_so() -> None:
    with mock.patch.object(drain, "in_progress", return_value=True):
        status, told = answered(health.readiness(RequestFactory().get("/health/readiness")))
    assert (status, told["drain"]) == (503, "the process is shutting down")


def test_database__by_url__postgresql_is_pooled_and_sqlite_is_shared() -> None:
    assert databases.from_url("postgres://u:p@host/name", 7)["OPTIONS"]["pool"]["max_size"] == 7
    assert databases.from_url("sqlite:////data/x.sqlite3", 7) == databases.sqlite(Path("/data/x.sqlite3"))


@pytest.mark.parametrize(
    "url, expected",
    [
        ("redis://host:1/2", {"host": "host", "port": 1, "db": 2}),
        ("rediss://host", {"host": "host", "ssl": True}),
        ("unix:///run/redis", {"unix_socket_path": "/run/redis"}),
    ],
)
def test_redis__by_url__arguments_with_a_bounded_wait(url: str, expected: dict[str, object]) -> None:
    assert redis_urls.arguments(url) == {"socket_timeout": 1.0, "socket_connect_timeout": 1.0, **expected}


@pytest.mark.parametrize(
    "module, extra, read",
    [
        ("dj_database_url", "serve", lambda: databases.from_url("postgres://host/name", 7)),
        ("psycopg", "postgresql", lambda: databases.from_url("postgres://host/name", 7)),
        ("redis", "redis", lambda: redis_urls.arguments("redis://host")),
        ("uvicorn", "serve", lambda: call_command("serve", skip_checks=True)),
    ],
    ids=["dj_database_url", "psycopg", "redis", "uvicorn"],
)
def test_extra__module_missing__named_with_what_installs_it(
    monkeypatch: pytest.MonkeyPatch, module: str, extra: str, read: Callable[[], object]
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises((ImproperlyConfigured, CommandError)) as raised:
        read()
    assert str(raised.value).endswith(f"Not installed: {module}. Run: pip install 'flagsmith-realtime[{extra}]'")
