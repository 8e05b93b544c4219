"""Stores the versions that external publishers post, in the app's own table. The latest version wins."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

from django.db import connections, router, transaction
from django.utils import timezone

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


def store_newer(times: Mapping[EnvironmentKey, UpdatedAt]) -> list[EnvironmentKey]:
    """Store these versions in one transaction, except those that are not later than the stored one.

    Returns the keys whose versions were stored.
    """
    if not times:
        return []
    connection: Any = connections[router.db_for_write(ExternalEnvironment)]
    meta: Any = ExternalEnvironment._meta
    fields = [meta.get_field(name) for name in FIELDS]
    names = {field.name: connection.ops.quote_name(field.column) for field in fields}
    names["table"] = connection.ops.quote_name(meta.db_table)
    time = meta.get_field("updated_at")
    now = time.get_db_prep_save(timezone.now(), connection)
    # Sorted, so that two processes lock rows in the same order and cannot deadlock.
    rows = [(key, time.get_db_prep_save(times[key], connection), now) for key in sorted(times)]
    batch_size = connection.ops.bulk_batch_size(fields, rows)
    stored: list[EnvironmentKey] = []
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for first in range(0, len(rows), batch_size):
            batch = rows[first : first + batch_size]
            placeholders = ", ".join(["(%s, %s, %s)"] * len(batch))
            cursor.execute(UPSERT_IF_NEWER.format(rows=placeholders, **names), list(chain.from_iterable(batch)))
            stored += [key for (key,) in cursor.fetchall()]
    return stored
