"""Answers with many objects, made in less time than Django REST framework takes."""

from collections.abc import Callable, Container, Iterable, Sequence
from functools import cached_property
from operator import attrgetter
from typing import Any

from django.db.models import Model, QuerySet
from rest_framework import serializers

# Where rows are kept that were read ahead of an answer.
READ = "read_"

# So many rows are no longer named one by one in a query: that takes Django as long as to read three times as many.
MANY = 300


def named(rows: Sequence[Model], among: QuerySet[Any]) -> Any:
    """What a condition ``__in`` says of these rows, of whom all are ``among`` those: of many of them that alone."""
    return rows if len(rows) < MANY else among.order_by().values("pk")


def read_ahead(rows: Sequence[Model], relations: Iterable[str], among: QuerySet[Any]) -> None:
    """Read these relations to many, for ``related``, with one query each.

    Into lists of our own: into its own caches Django puts a query set for each row and relation, which takes several
    times as long as all reading. Not for rows that are to be changed: nothing empties the lists.
    """
    lists: dict[Any, list[Any]]
    for relation in relations if rows else ():
        field: Any = type(rows[0])._meta.get_field(relation)
        lists = {row.pk: [] for row in rows}
        source = field.field
        for found in field.related_model._default_manager.filter(**{f"{source.name}__in": named(rows, among)}):
            lists.get(getattr(found, source.attname), []).append(found)
        _keep(rows, relation, lists)


def read_many_to_many(
    rows: Sequence[Model], relations: Iterable[str], among: QuerySet[Any], *, keys_alone: Container[str] = ()
) -> None:
    """The same for relations of many to many, with two queries each. Whoever is related to many of the rows is one
    object. ``keys_alone``: of these only primary keys are asked for, with one query each."""
    for relation in relations if rows else ():
        field: Any = type(rows[0])._meta.get_field(relation)
        source, target = field.m2m_field_name(), field.m2m_reverse_field_name()
        order = [f"{target}__{name}" for name in field.related_model._meta.ordering]
        pairs = field.remote_field.through._base_manager.filter(**{f"{source}__in": named(rows, among)})
        lists: dict[Any, list[Any]] = {row.pk: [] for row in rows}
        found = [pair for pair in pairs.order_by(*order).values_list(source, target) if pair[0] in lists]
        wanted = {key for _, key in found}
        model = field.related_model
        objects = {key: model(pk=key) for key in wanted}
        if relation not in keys_alone:
            objects = model._base_manager.in_bulk(wanted)
        for key, related_key in found:
            lists[key].append(objects[related_key])
        _keep(rows, relation, lists)


def _keep(rows: Sequence[Model], relation: str, lists: dict[Any, list[Any]]) -> None:
    for row in rows:
        setattr(row, READ + relation, lists[row.pk])


def related(instance: Model, relation: str) -> list[Any]:
    """The rows of a relation to many, read ahead or now."""
    found: list[Any] | None = getattr(instance, READ + relation, None)
    return list(getattr(instance, relation).all()) if found is None else found


class QuickSerializer(serializers.Serializer[Any]):
    """Says the same as its base class. Which fields there are, and how each is read, it works out once for all objects
    of a list, not once for each of them."""

    @cached_property
    def _steps(self) -> list[tuple[str, Callable[[Any], Any], serializers.Field]]:
        return [(str(field.field_name), _reader(field), field) for field in self._readable_fields]

    def to_representation(self, instance: Any) -> dict[str, Any]:
        answer: dict[str, Any] = {}
        for name, read, field in self._steps:
            try:
                value = read(instance)
            except serializers.SkipField:
                continue
            answer[name] = None if value is None else field.to_representation(value)
        return answer


def _reader(field: serializers.Field) -> Callable[[Any], Any]:
    """How the field's value is read of an object."""
    if isinstance(field, serializers.PrimaryKeyRelatedField):
        return lambda instance: _without_key(field.get_attribute(instance))
    plain = type(field).get_attribute is serializers.Field.get_attribute and len(field.source_attrs) == 1
    if not plain:
        return field.get_attribute
    read = attrgetter(field.source_attrs[0])

    def value(instance: Any) -> Any:
        try:
            found = read(instance)
        except AttributeError:
            return field.get_attribute(instance)
        # A method of the model: the framework calls it.
        return field.get_attribute(instance) if callable(found) else found

    return value


def _without_key(related_object: Any) -> Any:
    return related_object if related_object is not None and related_object.pk is not None else None
