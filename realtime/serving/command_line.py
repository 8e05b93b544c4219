"""The command line of ``manage.py`` and ``flagsmith-realtime``, which explains environment errors in one line.

For a damaged file, a full disk, or a database that does not answer or has no tables, a traceback does not help. Such an
error ends a command with status 1 and one line that names the remedy; ``--traceback`` shows the traceback. Other errors
keep their traceback.
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

from realtime.serving.databases import NONE, SQLITE

# Commands that run as a server: their threads share a pool's connections.
SERVERS = ("serve", "serve_realtime", "runserver", "run_scheduler", "deliver_webhooks")

DISK_FULL = (errno.ENOSPC, errno.EDQUOT)
NO_PERMISSION = (errno.EACCES, errno.EPERM, errno.EROFS)

# A disk with less free space counts as full: SQLite then reports an I/O error for its temporary files.
MIN_FREE_BYTES = 1_048_576

MIGRATE = "The database has no tables, or those of an older release. Make them: python manage.py migrate"
RESTORE = "Restore a backup (docs/operations.md), or move the file away to begin with an empty database."
UNDEFINED_OBJECT = ("42P01", "42703")
"""PostgreSQL's error codes of an undefined table and of an undefined column."""


class Commands(ManagementUtility):
    """Django's commands. Those that are no servers use no pool, which would hide the reason of a failed connection."""

    def fetch_command(self, subcommand: str) -> BaseCommand:
        if subcommand not in SERVERS and has_database():
            database = settings.DATABASES[DEFAULT_DB_ALIAS]
            database["OPTIONS"] = without_pool(database)["OPTIONS"]
        return super().fetch_command(subcommand)


def execute(name: str, arguments: list[str]) -> None:
    """Run a Django management command, as ``manage.py`` does."""
    with one_line_failures(name, arguments):
        Commands(arguments).execute()


@contextmanager
def one_line_failures(name: str, arguments: list[str]) -> Iterator[None]:
    """Exit with status 1 and one line for an error that has an ``explanation``."""
    try:
        yield
    except (Error, OSError, ImproperlyConfigured) as error:
        text = explanation(error)
        if text is None or "--traceback" in arguments:
            raise
        sys.exit(f"{name}: {text}")


def problem_of_database() -> str | None:
    """The reason why the database cannot be used, with the remedy; None if it can, or if there is none.

    Uses a connection without a pool, which would hide the reason.
    """
    if not has_database():
        return None
    handler = ConnectionHandler({DEFAULT_DB_ALIAS: without_pool(settings.DATABASES[DEFAULT_DB_ALIAS])})
    connection = handler[DEFAULT_DB_ALIAS]
    try:
        with connection.cursor() as cursor:
            # SQLite does not read the file before the first access to a table.
            cursor.execute("SELECT 1" if connection.vendor != "sqlite" else "SELECT count(*) FROM sqlite_master")
    except Error as error:
        return explanation(error) or _first_line(error)
    finally:
        connection.close()
    return None


def has_database() -> bool:
    """False for a drop-in server that stores versions in Redis."""
    return bool(settings.DATABASES[DEFAULT_DB_ALIAS]["ENGINE"] != NONE)


def without_pool(database: dict[str, Any]) -> dict[str, Any]:
    """A database's settings without the pool, so that a failed connection raises its own reason."""
    options = {name: value for name, value in database.get("OPTIONS", {}).items() if name != "pool"}
    return {**database, "OPTIONS": options}


def explanation(error: BaseException) -> str | None:
    """The problem and its remedy in one line; None for an error that needs its traceback."""
    if isinstance(error, ImproperlyConfigured):
        return " ".join(str(error).split())
    if isinstance(error, Error):
        database = settings.DATABASES[DEFAULT_DB_ALIAS]
        explain = _explain_sqlite if database["ENGINE"] == SQLITE else _explain_postgresql
        return explain(error, database)
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        return _disk_full(error.filename)
    if isinstance(error, OSError) and error.errno in NO_PERMISSION and error.filename:
        return f"{error.filename}: {error.strerror}. Let this user write there, or set VAR_DIR to another folder."
    return None


def _explain_sqlite(error: Error, database: dict[str, Any]) -> str | None:
    path, text = database["NAME"], str(error)
    if "no such table" in text or "no such column" in text:
        return MIGRATE
    if "is not a database" in text or "malformed" in text:
        return f"{path} is damaged, or no SQLite database ({text}). {RESTORE}"
    if "disk is full" in text or (_is_io_error(text) and _is_disk_full(Path(path).parent)):
        return _disk_full(path)
    if _is_io_error(text) or "readonly" in text:
        return f"{path} cannot be used ({text}). Its folder must be there, and writable for this user."
    if "is locked" in text:
        return f"Another process keeps {path} locked. Try again, or end that process."
    return None


def _is_io_error(text: str) -> bool:
    return "disk I/O error" in text or "unable to open" in text


def _is_disk_full(folder: Path) -> bool:
    return folder.is_dir() and shutil.disk_usage(folder).free < MIN_FREE_BYTES


def _disk_full(path: str | None) -> str:
    return f"The disk is full{f', so {path} cannot be written' if path else ''}. Free some space, and start again."


def _explain_postgresql(error: Error, database: dict[str, Any]) -> str | None:
    code = getattr(error.__cause__, "sqlstate", None)
    if code in UNDEFINED_OBJECT:
        return MIGRATE
    # Error classes of a server that is not available: connections, resources, shutdowns. No code: no connection.
    if code is not None and code[:2] not in ("08", "28", "3D", "53", "57"):
        return None
    if type(error).__name__ != "OperationalError":
        return None
    where = f"{database.get('HOST') or 'localhost'}:{database.get('PORT') or 5432}"
    return f"PostgreSQL at {where} cannot be used ({_first_line(error)}). Check DATABASE_URL, and that the server runs."


def _first_line(error: BaseException) -> str:
    return str(error).partition("\n")[0].strip().rstrip(".")
