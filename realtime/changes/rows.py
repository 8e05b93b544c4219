"""Row change notifications: one set of signal receivers per model, reading the old row once for all listeners.

A host application may listen too: ``rows.listen("features.Feature", ("name",), receive)``.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db.models import Model
from django.db.models.signals import post_save, pre_delete, pre_save

from realtime.types import RowOperation

Row = Mapping[str, Any]

SAVING = "_realtime_saving"


@dataclass(frozen=True)
class RowChange:
    """What happened to a row: sent after a creation or an update, and before a deletion."""

    instance: Any
    operation: RowOperation
    using: str
    before: Row | None = None
    """Of an update, the listener's columns as they were in the database; None if the old row was not found."""
    after: Row | None = None
    """Of an update, the same columns as they are now. A value that the database computes is an expression."""
    origin: Any = None
    """Of a deletion, the instance or the query set on which ``delete()`` was called."""
    written: bool = True
    """Of an update, False if ``update_fields`` names none of the listener's columns."""
    prepared: Any = None
    """Of a save that writes any of the listener's columns, what the listener's ``prepare`` returned."""

    @property
    def changed(self) -> bool:
        """Of an update: False if the listener's columns hold what they held before."""
        return self.before is None or self.before != self.after


Receive = Callable[[RowChange], None]

Prepare = Callable[[Any, RowOperation, str], Any]
"""Called with the instance, the change and the database alias."""


@dataclass(frozen=True)
class Listener:
    fields: tuple[str, ...]
    receive: Receive
    prepare: Prepare | None

    def is_written(self, instance: Any, update_fields: Iterable[str] | None) -> bool:
        """True if a save with these ``update_fields`` writes any of the listener's columns."""
        return any(_is_written(instance, name, update_fields) for name in self.fields)


@dataclass(frozen=True)
class Saving:
    """What is kept of a save from ``pre_save`` to ``post_save``."""

    before: Row | None
    prepared: Mapping[Listener, Any]


class Rows:
    """The receivers of one model's signals."""

    def __init__(self) -> None:
        self.listeners: list[Listener] = []

    def about_to_save(
        self,
        instance: Any,
        using: str,
        raw: bool = False,
        update_fields: Iterable[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Let listeners take their locks, then read the old row: an instance in memory may be older than the row."""
        if raw:
            return
        operation = RowOperation.CREATED if instance._state.adding else RowOperation.UPDATED
        prepared = {
            listener: listener.prepare(instance, operation, using)
            for listener in self.listeners
            if listener.prepare is not None and listener.is_written(instance, update_fields)
        }
        row = None
        if operation is RowOperation.UPDATED:
            fields = {name for listener in self.listeners for name in listener.fields}
            row = type(instance)._base_manager.using(using).filter(pk=instance.pk).values(*fields).first()
        setattr(instance, SAVING, Saving(row, prepared))

    def saved(
        self,
        instance: Any,
        created: bool,
        using: str,
        raw: bool = False,
        update_fields: Iterable[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Notify of a new row and of each update. Rows of fixtures are left out."""
        if raw:
            return
        saving = instance.__dict__.pop(SAVING, None) or Saving(None, {})
        row = saving.before
        for listener in self.listeners:
            if created:
                listener.receive(RowChange(instance, RowOperation.CREATED, using))
                continue
            before = None if row is None else {name: row[name] for name in listener.fields}
            after = None if before is None else _after(before, instance, update_fields)
            written = listener.is_written(instance, update_fields)
            prepared = saving.prepared.get(listener)
            listener.receive(
                RowChange(instance, RowOperation.UPDATED, using, before, after, written=written, prepared=prepared)
            )

    def about_to_delete(self, instance: Any, using: str, origin: Any = None, **kwargs: Any) -> None:
        for listener in self.listeners:
            listener.receive(RowChange(instance, RowOperation.DELETED, using, origin=origin))


def _is_written(instance: Any, name: str, update_fields: Iterable[str] | None) -> bool:
    field = instance._meta.get_field(name)
    return update_fields is None or field.name in update_fields or field.attname in update_fields


def _after(before: Row, instance: Any, update_fields: Iterable[str] | None) -> Row:
    after = dict(before)
    for name in before:
        if _is_written(instance, name, update_fields):
            value = getattr(instance, name)
            field = instance._meta.get_field(name)
            after[name] = value if hasattr(value, "resolve_expression") else field.to_python(value)
    return after


_rows: dict[type[Model], Rows] = {}


def listen(label: str, fields: tuple[str, ...], receive: Receive, prepare: Prepare | None = None) -> type[Model] | None:
    """Call ``receive`` for every change of this model's rows, with the old and new contents of these columns.

    ``prepare`` is called before a save that writes any of the columns, and before the old row is read. ``receive`` gets
    what it returned. Listeners are called in the order in which they were added. Returns the model, or None if the
    project has no model of this label.
    """
    try:
        model = apps.get_model(label)
    except LookupError:
        return None
    if model not in _rows:
        rows = _rows[model] = Rows()
        for signal, receiver in (
            (pre_save, rows.about_to_save),
            (post_save, rows.saved),
            (pre_delete, rows.about_to_delete),
        ):
            signal.connect(receiver, sender=model, weak=False, dispatch_uid=f"realtime:{label}:{receiver.__name__}")
    _rows[model].listeners.append(Listener(fields, receive, prepare))
    return model
