"""Adding counts to those that the database has, whoever else adds to them at the same moment."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections, transaction

from app_analytics import days, labels
from app_analytics.models import AbstractBucket, APIUsageBucket, FeatureEvaluationBucket, Resource
from app_analytics.tally import Counts, Key, StreamKey
from environments.models import Environment

# A statement has a limited number of parameters: 32,766 on SQLite.
ROWS = 1_000

T = TypeVar("T")


def add(counts: Counts) -> None:
    """Add them, in one transaction: either all are in the database then, or none."""
    with transaction.atomic():
        _upsert(APIUsageBucket, {**counts.requests, **_streams(counts.streams)})
        _upsert(FeatureEvaluationBucket, counts.evaluations)


def forget_before(day: date) -> None:
    """Remove what was counted on earlier days."""
    for model in (APIUsageBucket, FeatureEvaluationBucket):
        model._default_manager.filter(day__lt=day).delete()


def _streams(counts: Mapping[StreamKey, int]) -> dict[Key, int]:
    """The same by the environments' numbers. What is no environment of this database has no figures."""
    numbers: dict[str, int] = {}
    for keys in _slices(sorted({key for key, _ in counts})):
        numbers.update(Environment.objects.filter(api_key__in=keys).values_list("api_key", "pk"))
    return {
        (numbers[key], int(Resource.STREAMS), day, labels.NONE): number
        for (key, day), number in counts.items()
        if key in numbers
    }


def _upsert(model: type[AbstractBucket], counts: Mapping[Key, int]) -> None:
    """Django's ``bulk_create`` can replace a row's number, but not add to it.

    Rows come in one order, so that two who write the same ones wait for each other, and not in a circle.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    fields: list[Any] = [model._meta.get_field(name) for name in (*model.counted_by, "total_count")]
    quote = connection.ops.quote_name
    table, *columns = (quote(name) for name in (model._meta.db_table, *[field.column for field in fields]))
    total, row = columns[-1], f"({', '.join(['%s'] * len(fields))})"
    for some in _slices(sorted(counts.items())):
        # The text holds names of ours alone.
        statement = (
            f"INSERT INTO {table} ({', '.join(columns)}) VALUES {', '.join([row] * len(some))} "  # noqa: S608
            f"ON CONFLICT ({', '.join(columns[:-1])}) DO UPDATE SET {total} = {table}.{total} + excluded.{total}"
        )
        values: list[Any] = []
        for (environment_id, subject, day, told), number in some:
            cells = (environment_id, subject, days.date_of(day), labels.as_json(told), number)
            values += [field.get_db_prep_save(cell, connection) for field, cell in zip(fields, cells, strict=True)]
        with connection.cursor() as cursor:
            cursor.execute(statement, values)


def _slices(items: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(items), ROWS):
        yield items[start : start + ROWS]
