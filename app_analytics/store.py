"""Adds counts to the rows in the database, safely with concurrent processes."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from app_analytics import days, labels
from app_analytics.counters import Key, PendingCounts, StreamKey
from app_analytics.models import AbstractBucket, APIUsageBucket, FeatureEvaluationBucket, Resource
from environments.models import Environment

# SQLite allows 32,766 parameters in a statement.
ROWS_PER_STATEMENT = 1_000

T = TypeVar("T")


def add(counts: PendingCounts) -> None:
    """Add the counts, all or none."""
    with transaction.atomic():
        _upsert(APIUsageBucket, {**counts.requests, **_streams(counts.streams)})
        _upsert(FeatureEvaluationBucket, counts.evaluations)


def remove_before(day: date) -> None:
    """Delete the counts of earlier days."""
    for model in (APIUsageBucket, FeatureEvaluationBucket):
        model._default_manager.filter(day__lt=day).delete()


def _streams(counts: Mapping[StreamKey, int]) -> dict[Key, int]:
    """The counts of streams by environment's primary key. Unknown environments are left out."""
    environment_ids: dict[str, int] = {}
    for keys in _slices(sorted({key for key, _ in counts})):
        environment_ids.update(Environment.objects.filter(api_key__in=keys).values_list("api_key", "pk"))
    return {
        (environment_ids[key], int(Resource.STREAMS), day, labels.NONE): number
        for (key, day), number in counts.items()
        if key in environment_ids
    }


def _upsert(model: type[AbstractBucket], counts: Mapping[Key, int]) -> None:
    """Insert rows, or add to their counts. Django's ``bulk_create`` can only replace the counts.

    The rows are sorted, so that concurrent writers of the same rows cannot deadlock.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    fields: list[Any] = [model._meta.get_field(name) for name in (*model.key_fields, "total_count")]
    quote = connection.ops.quote_name
    table, *columns = (quote(name) for name in (model._meta.db_table, *[field.column for field in fields]))
    total, row = columns[-1], f"({', '.join(['%s'] * len(fields))})"
    for rows in _slices(sorted(counts.items())):
        # The text contains only names of tables and columns.
        statement = (
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * len(rows))} "  # noqa: S608
            f"ON CONFLICT ({', '.join(columns[:-1])}) DO UPDATE SET {total} = {table}.{total} + excluded.{total}"
        )
        values: list[Any] = []
        for (environment_id, subject, day, row_labels), number in rows:
            cells = (environment_id, subject, days.date_of(day), labels.as_json(row_labels), number)
            values += [field.get_db_prep_save(cell, connection) for field, cell in zip(fields, cells, strict=True)]
        with connection.cursor() as cursor:
            cursor.execute(statement, values)


def _slices(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), ROWS_PER_STATEMENT):
        yield items[start : start + ROWS_PER_STATEMENT]
