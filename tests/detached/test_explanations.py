"""One-line explanations of the environment errors that Python, SQLite and PostgreSQL raise."""

import errno
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, ProgrammingError

from realtime.serving import command_line
from realtime.serving.command_line import explanation

SQLITE = {"ENGINE": "django.db.backends.sqlite3", "NAME": "/no/such/folder/db.sqlite3"}
POSTGRESQL = {"ENGINE": "realtime.serving.postgresql", "HOST": "db", "PORT": 5433}


class PostgreSQLError(Exception):
    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("refused")
        self.sqlstate = sqlstate


def raised(kind: type[Exception], text: str, sqlstate: str | None = None) -> Exception:
    """An exception of Django, whose cause is the database's own."""
    error = kind(text)
    error.__cause__ = PostgreSQLError(sqlstate)
    return error


@pytest.mark.parametrize(
    ("database", "error", "text"),
    [
        (SQLITE, OperationalError("no such table: users"), "Make them: python manage.py migrate"),
        (
            SQLITE,
            OperationalError("database or disk is full"),
            "The disk is full, so /no/such/folder/db",
        ),
        (SQLITE, OperationalError("unable to open database file"), "Its folder must be there, and writable"),
        (SQLITE, OperationalError("attempt to write a readonly database"), "Its folder must be there, and writable"),
        (SQLITE, OperationalError("database is locked"), "Another process keeps /no/such/folder/db.sqlite3 locked"),
        (SQLITE, OSError(errno.ENOSPC, "No space left on device"), "The disk is full. Free some space"),
        (SQLITE, PermissionError(errno.EACCES, "Permission denied", "/var/key"), "/var/key: Permission denied. Let"),
        (POSTGRESQL, raised(ProgrammingError, "no relation", "42P01"), "Make them: python manage.py migrate"),
        (
            POSTGRESQL,
            raised(OperationalError, "starting up.\nmore", "57P03"),
            "PostgreSQL at db:5433 cannot be",
        ),
    ],
)
def test_explanation__environment_error__one_line_with_the_remedy(
    database: dict[str, Any], error: Exception, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_line, "settings", SimpleNamespace(DATABASES={"default": database}))
    explained = explanation(error)
    assert explained is not None
    assert text in explained
    assert "\n" not in explained


@pytest.mark.parametrize(
    ("database", "error"),
    [
        (SQLITE, IntegrityError("UNIQUE constraint failed")),
        (SQLITE, OSError(errno.ENOENT, "No such file or directory", "/x")),
        (SQLITE, ValueError("a bug")),
        (POSTGRESQL, raised(ProgrammingError, "syntax error", "42601")),
        (POSTGRESQL, raised(IntegrityError, "duplicate", None)),
    ],
)
def test_explanation__other_error__none(
    database: dict[str, Any], error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_line, "settings", SimpleNamespace(DATABASES={"default": database}))
    assert explanation(error) is None
