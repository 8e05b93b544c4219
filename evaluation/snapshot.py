"""Reading many tables as they were at one moment, without holding anybody up."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DEFAULT_DB_ALIAS, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper


@contextmanager
def snapshot(using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """All queries inside see the database as it was at the first of them. For reading only.

    Inside of a transaction that is already open they are part of it, and see what that transaction sees. On
    PostgreSQL that may be a new state with each query, so what is read then is good for that transaction alone.
    """
    connection = connections[using]
    if connection.in_atomic_block:
        yield
        return
    with _deferred(connection), transaction.atomic(using=using):
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield


@contextmanager
def _deferred(connection: BaseDatabaseWrapper) -> Iterator[None]:
    """On SQLite: let the transaction begin as a reader's. By the settings each begins as a writer's, and waits."""
    if connection.vendor != "sqlite":
        yield
        return
    # Connecting sets the mode, so it comes first.
    connection.ensure_connection()
    mode: str | None = connection.transaction_mode  # type: ignore[attr-defined]
    connection.transaction_mode = "DEFERRED"  # type: ignore[attr-defined]
    try:
        yield
    finally:
        connection.transaction_mode = mode  # type: ignore[attr-defined]
