"""Parts of a server of streams: Redis by URL, health, and missing extras."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from unittest import mock

import django
import pytest
from django.core.exceptions import ImproperlyConfigured
from django.core.management import CommandError, call_command
from django.db import DEFAULT_DB_ALIAS, OperationalError, connections
from django.db.backends.utils import CursorWrapper
from django.http import JsonResponse
from django.test import RequestFactory

from realtime.http import drain
from realtime.serving import databases, health, redis_urls, variables


def parsed(response: JsonResponse) -> tuple[int, dict[str, object]]:
    return response.status_code, json.loads(response.content)


def test_liveness__no_event_loop__always_200() -> None:
    assert parsed(health.liveness(RequestFactory().get("/health/liveness"))) == (200, {"status": "ok"})


@pytest.mark.django_db
def test_readiness__database_away__503_with_the_reason() -> None:
    request = RequestFactory().get("/health/readiness")
    with mock.patch.object(CursorWrapper, "execute", side_effect=OperationalError("gone")):
        status, report = parsed(health.readiness(request))
    assert (status, report["database"]) == (503, "the database does not answer")
    assert parsed(health.readiness(request))[0] == 200


@contextmanager
def without_a_table() -> Iterator[None]:
    with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
        cursor.execute("ALTER TABLE realtime_externalenvironment RENAME TO elsewhere")
        try:
            yield
        finally:
            cursor.execute("ALTER TABLE elsewhere RENAME TO realtime_externalenvironment")


@pytest.mark.django_db(transaction=True)
def test_readiness__no_tables_yet__503_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_has_tables", False)
    with without_a_table():
        status, report = parsed(health.readiness(RequestFactory().get("/health/readiness")))
    assert (status, report["database"]) == (503, "it has no tables yet: manage.py migrate makes them")


@pytest.mark.django_db(transaction=True)
def test_readiness__tables_exist__checked_only_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "_has_tables", False)
    request = RequestFactory().get("/health/readiness")
    assert parsed(health.readiness(request))[0] == 200
    with without_a_table():
        assert parsed(health.readiness(request))[0] == 200


@pytest.mark.django_db
def test_readiness__drain__503_with_the_reason() -> None:
    with mock.patch.object(drain, "in_progress", return_value=True):
        status, report = parsed(health.readiness(RequestFactory().get("/health/readiness")))
    assert (status, report["drain"]) == (503, "the process is shutting down")


@pytest.mark.parametrize(
    "url, expected",
    [
        ("redis://host:1/2", {"host": "host", "port": 1, "db": 2}),
        ("rediss://host", {"host": "host", "ssl": True}),
        ("unix:///run/redis", {"unix_socket_path": "/run/redis"}),
    ],
)
def test_redis__by_url__arguments(url: str, expected: dict[str, object]) -> None:
    assert redis_urls.arguments(url) == expected


@pytest.mark.parametrize(
    "module, extra, read",
    [
        ("dj_database_url", "serve", lambda: databases.from_url("postgres://host/name", 7)),
        ("psycopg", "postgresql", lambda: databases.from_url("postgres://host/name", 7)),
        ("redis", "redis", lambda: redis_urls.arguments("redis://host")),
        ("redis", "redis", variables.redis_settings),
        ("uvicorn", "serve", lambda: call_command("serve", skip_checks=True)),
    ],
    ids=["dj_database_url", "psycopg", "redis", "redis of a variable", "uvicorn"],
)
def test_extra__module_missing__named_with_the_remedy(
    monkeypatch: pytest.MonkeyPatch, module: str, extra: str, read: Callable[[], object]
) -> None:
    monkeypatch.setenv("REDIS_HOST", "host")
    monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises((ImproperlyConfigured, CommandError)) as raised:
        read()
    assert str(raised.value).endswith(f"Not installed: {module}. Run: pip install 'flagsmith-realtime[{extra}]'")


def test_django__older_than_5_1__error_names_the_version(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(django, "VERSION", (5, 0, 14, "final", 0))
    with pytest.raises(ImproperlyConfigured, match=r"needs Django 5.1 or newer"):
        databases.check_django()
