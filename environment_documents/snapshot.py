"""Read-only snapshot transactions: several queries that see one state of the database and block no writer."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from realtime.compat.django import deferred


@contextmanager
def snapshot(using: str = DEFAULT_DB_ALIAS) -> Iterator[None]:
    """All queries in the block see the database as it was at the first of them. The block must not write.

    Inside an open transaction the block is part of it. On PostgreSQL each of its queries may then see newer changes of
    other transactions, so the result is valid for that transaction only.
    """
    connection = connections[using]
    if connection.in_atomic_block:
        yield
        return
    with deferred(connection), transaction.atomic(using=using):
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield
