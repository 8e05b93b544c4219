"""Row change notifications: one set of signal receivers per model, reading the old row once for all listeners.

A host application can register a listener, too: ``rows.listen("features.Feature", ("name",), receive)``.
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
"""The attribute of an instance that passes the old row, and the results of ``prepare``, from pre_save to post_save."""


@dataclass(frozen=True)
class RowChange:
    """The change of a row, passed to listeners after a creation or an update, and before a deletion."""

    instance: Any
    operation: RowOperation
    using: str
    before: Row | None = None
    """For an update: the old values of the listener's columns in the database; None if the row was not found."""
    after: Row | None = None
    """For an update: the new values of these columns. A value that the database computes is an expression."""
    origin: Any = None
    """For a deletion: the instance or queryset on which ``delete()`` was called."""
    written: bool = True
    """For an update: False if ``update_fields`` contains none of the listener's columns."""
    prepared: Any = None
    """For a save that writes any of the listener's columns: the result of the listener's ``prepare``."""

    @property
    def changed(self) -> bool:
        """For an update: False if the listener's columns have their old values."""
        return self.before is None or self.before != self.after


Receive = Callable[[RowChange], None]

Prepare = Callable[[Any, RowOperation, str], Any]
"""Called with the instance, the operation and the database alias."""


@dataclass(frozen=True)
class Listener:
    fields: tuple[str, ...]
    receive: Receive
    prepare: Prepare | None

    def is_written(self, instance: Any, update_fields: Iterable[str] | None) -> bool:
        """Return True if a save with these ``update_fields`` writes any of the listener's columns."""
        return any(_is_written(instance, name, update_fields) for name in self.fields)


class RowSignals:
    """The signal receivers of one model, and its listeners."""

    def __init__(self) -> None:
        self.listeners: list[Listener] = []

    def before_save(
        self,
        instance: Any,
        using: str,
        raw: bool = False,
        update_fields: Iterable[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Let listeners take their locks, then read the old row. The instance in memory may be older than the row."""
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
        setattr(instance, SAVING, (row, prepared))

    def after_save(
        self,
        instance: Any,
        created: bool,
        using: str,
        raw: bool = False,
        update_fields: Iterable[str] | None = None,
        **kwargs: Any,
    ) -> None:
        """Notify listeners of a creation or an update, except for fixtures (``raw``)."""
        if raw:
            return
        row, results = instance.__dict__.pop(SAVING, (None, {}))
        for listener in self.listeners:
            if created:
                listener.receive(RowChange(instance, RowOperation.CREATED, using))
                continue
            before = None if row is None else {name: row[name] for name in listener.fields}
            after = None if before is None else _new_values(before, instance, update_fields)
            written = listener.is_written(instance, update_fields)
            prepared = results.get(listener)
            listener.receive(
                RowChange(instance, RowOperation.UPDATED, using, before, after, written=written, prepared=prepared)
            )

    def before_delete(self, instance: Any, using: str, origin: Any = None, **kwargs: Any) -> None:
        for listener in self.listeners:
            listener.receive(RowChange(instance, RowOperation.DELETED, using, origin=origin))


def _is_written(instance: Any, name: str, update_fields: Iterable[str] | None) -> bool:
    field = instance._meta.get_field(name)
    return update_fields is None or field.name in update_fields or field.attname in update_fields


def _new_values(before: Row, instance: Any, update_fields: Iterable[str] | None) -> Row:
    after = dict(before)
    for name in before:
        if _is_written(instance, name, update_fields):
            value = getattr(instance, name)
            field = instance._meta.get_field(name)
            after[name] = value if hasattr(value, "resolve_expression") else field.to_python(value)
    return after


_row_signals: dict[type[Model], RowSignals] = {}


def listen(label: str, fields: tuple[str, ...], receive: Receive, prepare: Prepare | None = None) -> type[Model] | None:
    """Call ``receive`` for every change of this model's rows, with the old and new values of these columns.

    ``prepare`` is called before a save that writes any of the columns, and before the old row is read. Its result is
    passed to ``receive`` (``RowChange.prepared``). Listeners are called in the order of their registration. Returns the
    model, or None if the project has no model with this label.
    """
    try:
        model = apps.get_model(label)
    except LookupError:
        return None
    if model not in _row_signals:
        rows = _row_signals[model] = RowSignals()
        for signal, receiver in (
            (pre_save, rows.before_save),
            (post_save, rows.after_save),
            (pre_delete, rows.before_delete),
        ):
            signal.connect(receiver, sender=model, weak=False, dispatch_uid=f"realtime:{label}:{receiver.__name__}")
    _row_signals[model].listeners.append(Listener(fields, receive, prepare))
    return model
