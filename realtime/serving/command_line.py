"""The command line of ``manage.py`` and ``flagsmith-realtime``: a fault of the machine or the database is one line.

A damaged file, a full disk, a database that does not answer or has no tables is no fault of the code, so a traceback
helps nobody. Such an error ends a command with status 1 and with a line that names the remedy; ``--traceback`` shows
all of it. Any other error keeps its traceback.
"""

import errno
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import BaseCommand, ManagementUtility
from django.db import DEFAULT_DB_ALIAS, Error
from django.db.utils import ConnectionHandler

from realtime.serving.databases import SQLITE

# Commands that last: they share a pool's connections between threads.
LASTING = ("serve", "serve_realtime", "runserver", "run_scheduler", "deliver_webhooks")

FULL = (errno.ENOSPC, errno.EDQUOT)
DENIED = (errno.EACCES, errno.EPERM, errno.EROFS)

# Bytes. SQLite reports a disk on which it cannot make its files beside the database as an I/O error.
LEAST_FREE = 1_048_576

MIGRATE = "The database has no tables, or those of an older release. Make them: python manage.py migrate"
RESTORE = "Restore a backup (docs/operations.md), or move the file away to begin with an empty database."
UNDEFINED = ("42P01", "42703")
"""PostgreSQL's codes of a table and of a column that are not there."""


class Commands(ManagementUtility):
    """Django's commands. Those that do not last use no pool: it would only report that it has no connection."""

    def fetch_command(self, subcommand: str) -> BaseCommand:
        if subcommand not in LASTING:
            database = settings.DATABASES[DEFAULT_DB_ALIAS]
            database["OPTIONS"] = without_pool(database)["OPTIONS"]
        return super().fetch_command(subcommand)


def execute(name: str, arguments: list[str]) -> None:
    """Run a command of Django's, as ``manage.py`` does."""
    with one_line_failures(name, arguments):
        Commands(arguments).execute()


@contextmanager
def one_line_failures(name: str, arguments: list[str]) -> Iterator[None]:
    """End the process with status 1 and one line, if that says all there is to say of an error."""
    try:
        yield
    except (Error, OSError, ImproperlyConfigured) as error:
        text = explanation(error)
        if text is None or "--traceback" in arguments:
            raise
        sys.exit(f"{name}: {text}")


def problem_of_database() -> str | None:
    """Why the database cannot be used, and what to do; None if it answers.

    By a connection of its own: a pool would only report that it has none to lend.
    """
    alone = ConnectionHandler({DEFAULT_DB_ALIAS: without_pool(settings.DATABASES[DEFAULT_DB_ALIAS])})
    connection = alone[DEFAULT_DB_ALIAS]
    try:
        with connection.cursor() as cursor:
            # Of SQLite, connecting alone reads nothing.
            cursor.execute("SELECT 1" if connection.vendor != "sqlite" else "SELECT count(*) FROM sqlite_master")
    except Error as error:
        return explanation(error) or _first_line(error)
    finally:
        connection.close()
    return None


def without_pool(database: dict[str, Any]) -> dict[str, Any]:
    """A database's settings, so that a connection is made when it is needed and fails with its own reason."""
    options = {name: value for name, value in database.get("OPTIONS", {}).items() if name != "pool"}
    return {**database, "OPTIONS": options}


def explanation(error: BaseException) -> str | None:
    """What is wrong and what to do, in one line; None for an error that needs its traceback."""
    if isinstance(error, ImproperlyConfigured):
        return f"ImproperlyConfigured: {' '.join(str(error).split())}"
    if isinstance(error, Error):
        database = settings.DATABASES[DEFAULT_DB_ALIAS]
        of = _of_sqlite if database["ENGINE"] == SQLITE else _of_postgresql
        return of(error, database)
    if isinstance(error, OSError) and error.errno in FULL:
        return _full(error.filename)
    if isinstance(error, OSError) and error.errno in DENIED and error.filename:
        return f"{error.filename}: {error.strerror}. Let this user write there, or set VAR_DIR to another folder."
    return None


def _of_sqlite(error: Error, database: dict[str, Any]) -> str | None:
    path, text = database["NAME"], str(error)
    if "no such table" in text or "no such column" in text:
        return MIGRATE
    if "is not a database" in text or "malformed" in text:
        return f"{path} is damaged, or no SQLite database ({text}). {RESTORE}"
    if "disk is full" in text or (_is_fault_of_disk(text) and _is_full(Path(path).parent)):
        return _full(path)
    if _is_fault_of_disk(text) or "readonly" in text:
        return f"{path} cannot be used ({text}). Its folder must be there, and writable for this user."
    if "is locked" in text:
        return f"Another process keeps {path} locked. Try again, or end that process."
    return None


def _is_fault_of_disk(text: str) -> bool:
    return "disk I/O error" in text or "unable to open" in text


def _is_full(folder: Path) -> bool:
    return folder.is_dir() and shutil.disk_usage(folder).free < LEAST_FREE


def _full(path: str | None) -> str:
    return f"The disk is full{f', so {path} cannot be written' if path else ''}. Free some space, and start again."


def _of_postgresql(error: Error, database: dict[str, Any]) -> str | None:
    code = getattr(error.__cause__, "sqlstate", None)
    if code in UNDEFINED:
        return MIGRATE
    # Codes of a server that cannot serve: connections, resources, shutdowns. Without one there was no server.
    if code is not None and code[:2] not in ("08", "28", "3D", "53", "57"):
        return None
    if type(error).__name__ != "OperationalError":
        return None
    where = f"{database.get('HOST') or 'localhost'}:{database.get('PORT') or 5432}"
    return f"PostgreSQL at {where} cannot be used ({_first_line(error)}). Check DATABASE_URL, and that the server runs."


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].strip().rstrip(".")
