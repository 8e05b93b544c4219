"""The store in the app's own table."""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime
from itertools import chain
from typing import Any

from django.db import Error, connections, router, transaction
from django.utils import timezone

from realtime.hosts import T, Versions, VersionStore
from realtime.models import ExternalEnvironment
from realtime.types import EnvironmentKey, UpdatedAt

# One statement, so that the comparison uses what other processes have committed. The ORM cannot express it:
# ``bulk_create(update_conflicts=True)`` takes no condition. PostgreSQL and SQLite share this syntax.
UPSERT_IF_NEWER = """
INSERT INTO {table} ({key}, {updated_at}, {received_at}) VALUES {rows}
ON CONFLICT ({key}) DO UPDATE SET {updated_at} = excluded.{updated_at}, {received_at} = excluded.{received_at}
WHERE {table}.{updated_at} < excluded.{updated_at}
RETURNING {key}
"""

FIELDS = ("key", "updated_at", "received_at")

# After a restart of its server, a pool can hold as many dead connections.
MAX_TRIES = 20


class SQLStore(VersionStore):
    """Errors are the database's."""

    def read(self, keys: Collection[EnvironmentKey]) -> Versions:
        return self._versions(ExternalEnvironment.objects.filter(key__in=keys))

    def changed_since(self, moment: datetime) -> Versions:
        """By the clock of the server that stored the version."""
        return self._versions(ExternalEnvironment.objects.filter(received_at__gt=moment))

    def store_newer(self, versions: Mapping[EnvironmentKey, UpdatedAt]) -> list[EnvironmentKey]:
        """In one transaction."""
        if not versions:
            return []
        connection: Any = connections[router.db_for_write(ExternalEnvironment)]
        meta: Any = ExternalEnvironment._meta
        fields = [meta.get_field(name) for name in FIELDS]
        names = {field.name: connection.ops.quote_name(field.column) for field in fields}
        names["table"] = connection.ops.quote_name(meta.db_table)
        time = meta.get_field("updated_at")
        now = time.get_db_prep_save(timezone.now(), connection)
        # Sorted, so that two processes lock rows in the same order and cannot deadlock.
        rows = [(key, time.get_db_prep_save(versions[key], connection), now) for key in sorted(versions)]
        batch_size = connection.ops.bulk_batch_size(fields, rows)
        stored: list[EnvironmentKey] = []
        with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
            for first in range(0, len(rows), batch_size):
                batch = rows[first : first + batch_size]
                placeholders = ", ".join(["(%s, %s, %s)"] * len(batch))
                cursor.execute(UPSERT_IF_NEWER.format(rows=placeholders, **names), list(chain.from_iterable(batch)))
                stored += [key for (key,) in cursor.fetchall()]
        return stored

    def run(self, function: Callable[[], T]) -> T:
        """The function must be repeatable: it is called again after each connection that turns out to be dead."""
        connection = connections[router.db_for_write(ExternalEnvironment)]
        for _ in range(MAX_TRIES):
            connection.ensure_connection()
            before = connection.connection
            try:
                return function()
            except Error:
                # At the end of the transaction Django replaces a dead connection; there is none if it could not
                # connect.
                now = connection.connection
                if connection.in_atomic_block or now is None or (now is before and connection.is_usable()):
                    raise
                connection.close()
        return function()

    def _versions(self, environments: Any) -> Versions:
        return {EnvironmentKey(key): updated_at for key, updated_at in environments.values_list("key", "updated_at")}
