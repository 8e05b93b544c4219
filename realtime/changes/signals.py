"""Announces the changes of every watched model's rows."""

from typing import Any

from django.db import connections
from django.db.backends.signals import connection_created
from django.db.models import Model, QuerySet
from django.utils.module_loading import import_string

from realtime import hosts
from realtime.changes import rows, versions
from realtime.changes.rows import RowChange
from realtime.changes.triggers import Watch
from realtime.conf import conf
from realtime.types import RowOperation

LOCKED = object()
"""What was prepared for a save: its environments are locked until it commits."""


class Watcher:
    """The row listener of one watched model.

    Two saves of one row must not both compare with the same old row: the second one may put back what the first one
    has changed, and would then be taken for a save that changes nothing.

    In a transaction ``prepare`` locks the environments before the old row is read, and until the commit. All writers
    lock in one order: projects, environments, and then other rows, each by primary key.

    In autocommit mode each statement is a transaction of its own, so no lock covers the reading and the writing. There
    the environments' versions must also be those from before the reading. Otherwise another state has been announced
    meanwhile. A state that was written meanwhile and is not announced yet will be announced after this save.
    """

    def __init__(self, watch: Watch, watched: set[type[Model]]) -> None:
        self.watch = watch
        self.watched = watched

    def prepare(self, instance: Any, operation: RowOperation, using: str) -> object:
        """Lock what has to be locked before the row is read and written, or read the versions. Returns LOCKED, the
        versions, or None where neither helps: the row is in another database than the environments.
        """
        host = hosts.current()
        if not host.is_in(using):
            return None
        if connections[using].get_autocommit():
            if operation is RowOperation.CREATED:
                return None
            return host.versions(self.watch.environments_to_lock(instance, operation))
        if connections[using].features.has_select_for_update:
            self._lock(instance, operation, using)
        return LOCKED

    def __call__(self, row: RowChange) -> None:
        """Announce a new row, a deletion, and an update that an SDK can see."""
        if row.operation is RowOperation.UPDATED and not self._is_visible(row):
            return
        if row.operation is RowOperation.DELETED:
            if self._is_cascaded(row):
                return
            self.prepare(row.instance, row.operation, row.using)
        effect = self.watch.effect(row.instance, row.operation)
        versions.announce(effect.environments, silent=effect.silent, gate=self.watch.gate, using=row.using)

    def _lock(self, instance: Any, operation: RowOperation, using: str) -> None:
        for first in self.watch.locks_first(instance, operation):
            list(first.using(using).order_by("pk").select_for_update(no_key=True).values_list("pk"))
        # With environments go their identities, whose writers only share the environment's lock.
        exclusive = operation is RowOperation.DELETED and self.watch.deletes_environments
        versions.lock(self.watch.environments_to_lock(instance, operation), using, exclusive=exclusive)

    def _is_visible(self, row: RowChange) -> bool:
        if not row.written:
            return False
        if row.before is None or row.after is None or self.watch.reads(row.before) != self.watch.reads(row.after):
            return True
        if row.prepared is LOCKED:
            return False
        environments = self.watch.environments_to_lock(row.instance, row.operation)
        return row.prepared is None or bool(row.prepared != hosts.current().versions(environments))

    def _is_cascaded(self, row: RowChange) -> bool:
        """True if the deletion follows from that of another watched row, which is announced for both."""
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
        watcher = Watcher(watch, watched)
        model = rows.listen(watch.model, watch.fields, watcher, watcher.prepare)
        if model is not None:
            watched.add(model)
