"""Serialization and prefetching for responses with many objects, faster than the frameworks' own."""

from collections.abc import Callable, Container, Iterable, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any

from django.db.models import Model, QuerySet
from rest_framework import serializers

# The prefix of the attributes that hold prefetched rows.
PREFETCHED = "prefetched_"

# More rows than these are not listed by primary key in a query: compiling such a query takes Django as long as reading
# three times as many rows.
MAX_LISTED_ROWS = 300


def in_operand(rows: Sequence[Model], superset: QuerySet[Any]) -> Any:
    """The operand of an ``__in`` condition for these rows: the rows, or for many a subquery of ``superset``."""
    return rows if len(rows) < MAX_LISTED_ROWS else superset.order_by().values("pk")


def prefetch_reverse(rows: Sequence[Model], relations: Iterable[str], superset: QuerySet[Any]) -> None:
    """Prefetch these reverse foreign keys for ``related``, with one query each. ``superset`` contains all ``rows``.

    Not by Django's ``prefetch_related``: it makes a query set for each row and relation, which takes several times as
    long as the queries. Not for rows that are going to change: nothing invalidates the prefetched lists.
    """
    lists: dict[Any, list[Any]]
    for relation in relations if rows else ():
        field: Any = type(rows[0])._meta.get_field(relation)
        lists = {row.pk: [] for row in rows}
        source = field.field
        for found in field.related_model._default_manager.filter(**{f"{source.name}__in": in_operand(rows, superset)}):
            lists.get(getattr(found, source.attname), []).append(found)
        _store(rows, relation, lists)


def prefetch_many_to_many(
    rows: Sequence[Model], relations: Iterable[str], superset: QuerySet[Any], *, keys_only: Container[str] = ()
) -> None:
    """Prefetch these many-to-many relations for ``related``, with two queries each.

    A row that is related to several of ``rows`` is one object. For the relations in ``keys_only`` only primary keys are
    read, with one query each.
    """
    for relation in relations if rows else ():
        field: Any = type(rows[0])._meta.get_field(relation)
        source, target = field.m2m_field_name(), field.m2m_reverse_field_name()
        order = [f"{target}__{name}" for name in field.related_model._meta.ordering]
        pairs = field.remote_field.through._base_manager.filter(**{f"{source}__in": in_operand(rows, superset)})
        lists: dict[Any, list[Any]] = {row.pk: [] for row in rows}
        found = [pair for pair in pairs.order_by(*order).values_list(source, target) if pair[0] in lists]
        wanted = {key for _, key in found}
        model = field.related_model
        objects = {key: model(pk=key) for key in wanted}
        if relation not in keys_only:
            objects = model._base_manager.in_bulk(wanted)
        for key, related_key in found:
            lists[key].append(objects[related_key])
        _store(rows, relation, lists)


def _store(rows: Sequence[Model], relation: str, lists: dict[Any, list[Any]]) -> None:
    for row in rows:
        setattr(row, PREFETCHED + relation, lists[row.pk])


def related(instance: Model, relation: str) -> list[Any]:
    """The rows of a to-many relation, prefetched or read now."""
    found: list[Any] | None = getattr(instance, PREFETCHED + relation, None)
    return list(getattr(instance, relation).all()) if found is None else found


class QuickSerializer(serializers.Serializer[Any]):
    """A serializer with its base class's output, which resolves fields and their readers once per list, not once per
    object.
    """

    @cached_property
    def _field_readers(self) -> list[tuple[str, Callable[[Any], Any], serializers.Field]]:
        return [(str(field.field_name), _reader(field), field) for field in self._readable_fields]

    def to_representation(self, instance: Any) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for name, read, field in self._field_readers:
            try:
                value = read(instance)
            except serializers.SkipField:
                continue
            data[name] = None if value is None else field.to_representation(value)
        return data


def _reader(field: serializers.Field) -> Callable[[Any], Any]:
    """A function that reads the field's value from an object."""
    if isinstance(field, serializers.PrimaryKeyRelatedField):
        return lambda instance: _none_without_key(field.get_attribute(instance))
    plain = type(field).get_attribute is serializers.Field.get_attribute and len(field.source_attrs) == 1
    if not plain:
        return field.get_attribute
    read = attrgetter(field.source_attrs[0])

    def value(instance: Any) -> Any:
        try:
            found = read(instance)
        except AttributeError:
            return field.get_attribute(instance)
        # The framework calls a method of the model.
        return field.get_attribute(instance) if callable(found) else found

    return value


def _none_without_key(related_object: Any) -> Any:
    return related_object if related_object is not None and related_object.pk is not None else None
