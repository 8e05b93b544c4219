"""What external publishers say of environments, kept in the app's own table: the greatest time wins."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

from django.db import connections, router, transaction
from django.utils import timezone

from realtime.models import ExternalEnvironment
from realtime.types import EnvironmentKey, UpdatedAt

# One statement, so that it holds whoever else writes: what another process has committed meanwhile is compared with.
# The ORM's ``bulk_create(update_conflicts=True)`` knows no condition. PostgreSQL and SQLite share these words.
RAISE = """
INSERT INTO {table} ({key}, {updated_at}, {received_at}) VALUES {rows}
ON CONFLICT ({key}) DO UPDATE SET {updated_at} = excluded.{updated_at}, {received_at} = excluded.{received_at}
WHERE {table}.{updated_at} < excluded.{updated_at}
RETURNING {key}
"""

FIELDS = ("key", "updated_at", "received_at")


def raise_times(times: Mapping[EnvironmentKey, UpdatedAt]) -> list[EnvironmentKey]:
    """Keep these times, all or none, where no equal or later one is known. Returns the keys of those that were news."""
    if not times:
        return []
    connection: Any = connections[router.db_for_write(ExternalEnvironment)]
    meta: Any = ExternalEnvironment._meta
    fields = [meta.get_field(name) for name in FIELDS]
    names = {field.name: connection.ops.quote_name(field.column) for field in fields}
    names["table"] = connection.ops.quote_name(meta.db_table)
    time = meta.get_field("updated_at")
    now = time.get_db_prep_save(timezone.now(), connection)
    # In one order, so that no two processes wait for each other's rows.
    rows = [(key, time.get_db_prep_save(times[key], connection), now) for key in sorted(times)]
    at_once = connection.ops.bulk_batch_size(fields, rows)
    risen: list[EnvironmentKey] = []
    with transaction.atomic(using=connection.alias), connection.cursor() as cursor:
        for first in range(0, len(rows), at_once):
            some = rows[first : first + at_once]
            places = ", ".join(["(%s, %s, %s)"] * len(some))
            cursor.execute(RAISE.format(rows=places, **names), list(chain.from_iterable(some)))
            risen += [key for (key,) in cursor.fetchall()]
    return risen
