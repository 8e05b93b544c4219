"""Announces what happens to the rows of every watched model."""

from typing import Any

from django.db.backends.signals import connection_created
from django.db.models import Model, QuerySet
from django.utils.module_loading import import_string

from realtime import rows, versions
from realtime.conf import conf
from realtime.rows import RowChange
from realtime.types import Change
from realtime.watch import Watch


class Watcher:
    """The listener for one watched model."""

    def __init__(self, watch: Watch, watched: set[type[Model]]) -> None:
        self.watch = watch
        self.watched = watched

    def __call__(self, row: RowChange) -> None:
        """Announce a new row, a deletion, and an update that an SDK can see."""
        if row.change is Change.UPDATED and not self._shows(row):
            return
        if row.change is Change.DELETED and self._follows(row):
            return
        effect = self.watch.effect(row.instance, row.change)
        versions.announce(effect.environments, silent=effect.silent, using=row.using)

    def _shows(self, row: RowChange) -> bool:
        if row.before is None or row.after is None:
            return True
        return bool(self.watch.reads(row.before) != self.watch.reads(row.after))

    def _follows(self, row: RowChange) -> bool:
        """Whether the deletion only follows from that of another watched row, which announces for both."""
        root: Any = row.origin.model if isinstance(row.origin, QuerySet) else type(row.origin)
        return root in self.watched and row.origin is not row.instance and root is not type(row.instance)


def connect() -> None:
    """Watch the models of ``REALTIME_WATCH`` that the project has, and the savepoints of their transactions."""
    if conf.HOST == "flagsmith":
        # It raises its environments' versions itself, and none of its queries need pass through here.
        return
    connection_created.connect(versions.watch_rollbacks, dispatch_uid="realtime:watch_rollbacks")
    table: tuple[Watch, ...] = import_string(conf.WATCH)
    watched: set[type[Model]] = set()
    for watch in table:
        model = rows.listen(watch.model, watch.fields, Watcher(watch, watched))
        if model is not None:
            watched.add(model)
