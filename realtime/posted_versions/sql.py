"""The store in the app's own table."""

from collections.abc import Collection, Mapping
from datetime import datetime
from itertools import chain
from typing import Any

from django.db import connections, router, transaction
from django.utils import timezone

from realtime.hosts import Versions, VersionStore
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

    def _versions(self, environments: Any) -> Versions:
        return {EnvironmentKey(key): updated_at for key, updated_at in environments.values_list("key", "updated_at")}
