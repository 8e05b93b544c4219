"""One receiver for each of Django's model signals, connected to every watched model."""

from typing import Any

from django.apps import apps
from django.db.models import Model, QuerySet
from django.db.models.signals import post_save, pre_delete, pre_save
from django.utils.module_loading import import_string

from realtime import versions
from realtime.conf import conf
from realtime.types import Change
from realtime.watch import Watch

BEFORE = "_realtime_before"


class Watcher:
    """The receivers of one watched model."""

    def __init__(self, watch: Watch, watched: set[type[Model]]) -> None:
        self.watch = watch
        self.watched = watched

    def about_to_save(self, instance: Any, using: str, raw: bool = False, **kwargs: Any) -> None:
        """Keep what the row holds now, from the database: an instance may be older than the row."""
        if not raw and not instance._state.adding:
            row = type(instance)._base_manager.using(using).filter(pk=instance.pk).values(*self.watch.fields).first()
            setattr(instance, BEFORE, row)

    def saved(self, instance: Any, created: bool, using: str, raw: bool = False, **kwargs: Any) -> None:
        """Announce a new row, and one that an SDK sees differently now. (A fixture's rows are none of ours.)"""
        if raw:
            return
        before = instance.__dict__.pop(BEFORE, None)
        if created:
            self._announce(instance, Change.CREATED, using)
        elif before is None or self._changed(before, instance, kwargs.get("update_fields")):
            self._announce(instance, Change.UPDATED, using)

    def about_to_delete(self, instance: Any, using: str, origin: Any = None, **kwargs: Any) -> None:
        """Announce a deletion, unless it only follows from that of another watched row, which announces for both."""
        root = origin.model if isinstance(origin, QuerySet) else type(origin)
        follows = root in self.watched and origin is not instance and root is not type(instance)
        if not follows:
            self._announce(instance, Change.DELETED, using)

    def _changed(self, before: dict[str, Any], instance: Any, update_fields: frozenset[str] | None) -> bool:
        after = dict(before)
        for name in self.watch.fields:
            if update_fields is None or name in update_fields:
                value = getattr(instance, name)
                if hasattr(value, "resolve_expression"):
                    return True
                after[name] = instance._meta.get_field(name).to_python(value)
        return bool(self.watch.reads(before) != self.watch.reads(after))

    def _announce(self, instance: Any, change: Change, using: str) -> None:
        effect = self.watch.effect(instance, change)
        versions.announce(effect.environments, silent=effect.silent, using=using)


def connect() -> None:
    """Watch the models of ``REALTIME_WATCH`` that the project has."""
    table: tuple[Watch, ...] = import_string(conf.WATCH)
    watched = {model: watch for watch in table if (model := _model(watch.model)) is not None}
    for model, watch in watched.items():
        watcher = Watcher(watch, set(watched))
        for signal, receiver in (
            (pre_save, watcher.about_to_save),
            (post_save, watcher.saved),
            (pre_delete, watcher.about_to_delete),
        ):
            signal.connect(
                receiver, sender=model, weak=False, dispatch_uid=f"realtime:{watch.model}:{receiver.__name__}"
            )


def _model(label: str) -> type[Model] | None:
    try:
        return apps.get_model(label)
    except LookupError:
        return None
