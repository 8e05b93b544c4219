"""What happens to rows, told to whoever listens: one set of receivers a model, one reading of the old row.

A host application may listen too: ``rows.listen("features.Feature", ("name",), told)``.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db.models import Model
from django.db.models.signals import post_save, pre_delete, pre_save

from realtime.types import Change

Row = Mapping[str, Any]

BEFORE = "_realtime_before"


@dataclass(frozen=True)
class RowChange:
    """What happened to a row: after a creation or an update, before a deletion."""

    instance: Any
    change: Change
    using: str
    before: Row | None = None
    """Of an update, the listener's columns as the database had them; None where the old row was not to be found."""
    after: Row | None = None
    """Of an update, the same columns as they are now. A value that the database computes is an expression."""
    origin: Any = None
    """Of a deletion, the instance or the query set that it began with."""

    @property
    def changed(self) -> bool:
        """Of an update: whether any of the listener's columns holds something else now, as far as can be said."""
        return self.before is None or self.before != self.after


@dataclass(frozen=True)
class Listener:
    fields: tuple[str, ...]
    tell: Callable[[RowChange], None]


class Rows:
    """The receivers of one model's signals."""

    def __init__(self) -> None:
        self.listeners: list[Listener] = []

    def about_to_save(self, instance: Any, using: str, raw: bool = False, **kwargs: Any) -> None:
        """Keep what the row holds now, from the database: an instance may be older than the row."""
        if not raw and not instance._state.adding:
            fields = {name for listener in self.listeners for name in listener.fields}
            row = type(instance)._base_manager.using(using).filter(pk=instance.pk).values(*fields).first()
            setattr(instance, BEFORE, row)

    def saved(self, instance: Any, created: bool, using: str, raw: bool = False, **kwargs: Any) -> None:
        """Tell of a new row, and of an update, whatever it changed. (A fixture's rows are none of ours.)"""
        if raw:
            return
        row = instance.__dict__.pop(BEFORE, None)
        for listener in self.listeners:
            if created:
                listener.tell(RowChange(instance, Change.CREATED, using))
                continue
            before = None if row is None else {name: row[name] for name in listener.fields}
            after = None if before is None else _after(before, instance, kwargs.get("update_fields"))
            listener.tell(RowChange(instance, Change.UPDATED, using, before, after))

    def about_to_delete(self, instance: Any, using: str, origin: Any = None, **kwargs: Any) -> None:
        for listener in self.listeners:
            listener.tell(RowChange(instance, Change.DELETED, using, origin=origin))


def _after(before: Row, instance: Any, update_fields: frozenset[str] | None) -> Row:
    after = dict(before)
    for name in before:
        field = instance._meta.get_field(name)
        if update_fields is None or field.name in update_fields or field.attname in update_fields:
            value = getattr(instance, name)
            after[name] = value if hasattr(value, "resolve_expression") else field.to_python(value)
    return after


_rows: dict[type[Model], Rows] = {}


def listen(label: str, fields: tuple[str, ...], tell: Callable[[RowChange], None]) -> type[Model] | None:
    """Tell of every change of this model's rows, with these columns' contents. Listeners are told in their order.

    Returns the model; None, and nothing is listened to, if the project has none of this label.
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
    _rows[model].listeners.append(Listener(fields, tell))
    return model
