"""The database of the tests that run in this process."""

import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.contenttypes.management import create_contenttypes
from django.db import connection
from django.db.models.signals import post_migrate

from tests.support.server import migrated_sqlite

BY_PERMISSIONS = "django.contrib.auth.management.create_permissions"


@contextmanager
def own_database() -> Iterator[None]:
    """Connect Django to a new copy of a migrated database."""
    creation: Any = connection.creation
    before, name = connection.settings_dict["NAME"], creation._get_test_db_name()
    remove = _remove_file if connection.vendor == "sqlite" else _drop
    if connection.vendor == "sqlite":
        _copy_file(name)
    else:
        _copy_in_server(name)
        # For PostgreSQL, truncating tables is a hundred times slower than deleting a few rows.
        connection.ops.sql_flush = _deletions  # type: ignore[method-assign]
    _connect_to(name)
    # A test that commits is followed by "flush", after which these two would fill tables that no test reads.
    post_migrate.disconnect(create_contenttypes)
    post_migrate.disconnect(dispatch_uid=BY_PERMISSIONS)
    try:
        yield
    finally:
        _connect_to(before)
        remove(name)


def _deletions(style: Any, tables: Sequence[str], *, reset_sequences: bool = False, allow_cascade: bool = False) -> Any:
    """Delete all rows in one statement, at the end of which PostgreSQL checks foreign keys."""
    return [";".join(f"DELETE FROM {_quoted(table)}" for table in tables)]  # noqa: S608


def _connect_to(name: Any) -> None:
    connection.close()
    settings.DATABASES["default"]["NAME"] = connection.settings_dict["NAME"] = name


def _copy_file(name: str) -> None:
    _remove_file(name)
    shutil.copy(migrated_sqlite().file, name)


def _remove_file(name: str) -> None:
    for suffix in ("", "-wal", "-shm"):
        Path(name + suffix).unlink(missing_ok=True)


def _copy_in_server(name: str) -> None:
    template = os.environ.get("TEST_DATABASE_TEMPLATE")
    if template is None:
        connection.creation.create_test_db(verbosity=0, autoclobber=True)
        return
    _drop(name)
    _execute(f"CREATE DATABASE {_quoted(name)} TEMPLATE {_quoted(template)}")


def _drop(name: str) -> None:
    # Threads of a finished test may still be connected.
    _execute(f"DROP DATABASE IF EXISTS {_quoted(name)} WITH (FORCE)")


def _quoted(name: str) -> str:
    return connection.ops.quote_name(name)


def _execute(statement: str) -> None:
    creation: Any = connection.creation
    with creation._nodb_cursor() as cursor:
        cursor.execute(statement)
