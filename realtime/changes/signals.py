"""Connects the signals of all watched models, and raises versions when their rows change."""

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
"""Result of ``Watcher.prepare``: the environments are locked until the commit."""


class Watcher:
    """The row listener of one watched model.

    Two concurrent saves of one row must not both compare with the same old row. Otherwise, if the second save reverts
    the change of the first, it would look like a save that changes nothing.

    In a transaction, ``prepare`` locks the environments before the old row is read, until the commit. All writers lock
    in the same order: projects, environments, other rows, each by primary key.

    In autocommit mode each statement is a transaction of its own, so no lock can cover both the read and the write.
    There a save counts as unchanged only if the environments' versions did not change either since before the read. If
    another process has written the row meanwhile and not raised the version yet, it will do so after this save.
    """

    def __init__(self, watch: Watch, watched: set[type[Model]]) -> None:
        self.watch = watch
        self.watched = watched

    def prepare(self, instance: Any, operation: RowOperation, using: str) -> object:
        """Lock the environments before the old row is read, or read their versions in autocommit mode.

        Returns LOCKED, the versions, or None. None means that neither is possible (the row is in another database than
        the environments) or needed (a creation in autocommit mode).
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
        """Raise versions for a creation, a deletion, or an update that is visible to SDKs."""
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
        # Environments are deleted with their identities, whose writers take only a shared lock on the environment.
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
        """Return True if the row is deleted by a cascade from another watched row, whose deletion covers both."""
        root: Any = row.origin.model if isinstance(row.origin, QuerySet) else type(row.origin)
        return root in self.watched and row.origin is not row.instance and root is not type(row.instance)


def connect() -> None:
    """Register listeners for the models of ``REALTIME_WATCH``, and for rollbacks of savepoints.

    Not for a real Flagsmith's models: ``realtime.flagsmith`` collects their changes, or their versions are followed.
    """
    if not hosts.current().owns_models:
        return
    connection_created.connect(versions.watch_rollbacks, dispatch_uid="realtime:watch_rollbacks")
    table: tuple[Watch, ...] = import_string(conf.WATCH)
    watched: set[type[Model]] = set()
    for watch in table:
        watcher = Watcher(watch, watched)
        model = rows.listen(watch.model, watch.fields, watcher, watcher.prepare)
        if model is not None:
            watched.add(model)
