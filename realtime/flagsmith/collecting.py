"""Collects changes in Flagsmith's requests and tasks by signals, and hands them to the raising thread.

No receiver makes a query, and none raises: a change of Flagsmith never waits for this app or fails because of it.
(Exception: a save of a project or a subscription reads its old row, because Flagsmith keeps no history of them.)

Flagsmith commits what one request changes in several transactions. So the changes of a request are kept until it has
ended, and raise each version once. Changes outside of a request (tasks, a shell) wait for each other for a moment.
"""

import threading
from functools import partial
from typing import Any

from django.core.signals import request_finished, request_started
from django.db import DEFAULT_DB_ALIAS, transaction
from django.utils.module_loading import import_string

from realtime.changes import rows
from realtime.changes.rows import RowChange
from realtime.changes.triggers import Watch
from realtime.conf import conf
from realtime.flagsmith import raising
from realtime.flagsmith.receivers import never_fails
from realtime.flagsmith.visibility import WATCHED, Collected, HistoryRecord, WatchedRow
from realtime.types import RowOperation

# Watched models of which Flagsmith keeps no history.
WITHOUT_HISTORY = ("organisations.Subscription", "projects.Project")


class _Request(threading.local):
    """The changes of this thread's request; None outside of requests."""

    changes: list[Collected] | None = None


_request = _Request()


def connect() -> None:
    """Collect the changes of all watched models, request by request."""
    from simple_history.signals import post_create_historical_record

    post_create_historical_record.connect(record_created, dispatch_uid="realtime:record_created")
    request_started.connect(start_request, dispatch_uid="realtime:start_request")
    request_finished.connect(finish_request, dispatch_uid="realtime:finish_request")
    table: tuple[Watch, ...] = import_string(conf.WATCH)
    for watch in table:
        if watch.model in WITHOUT_HISTORY:
            rows.listen(watch.model, watch.fields, _RowListener(watch))


@never_fails
def record_created(instance: Any, history_instance: Any, using: str | None = None, **kwargs: Any) -> None:
    """Collect a row's new history record, which Flagsmith writes in the transaction of the change."""
    if instance._meta.label in WATCHED:
        collect(HistoryRecord(instance._meta.label, history_instance), using)


def collect(change: Collected, using: str | None = None) -> None:
    """Keep the change until its transaction commits, and then until the request ends. A rollback drops it."""
    transaction.on_commit(partial(_committed, change), using=using or DEFAULT_DB_ALIAS, robust=True)


def start_request(**kwargs: Any) -> None:
    finish_request()
    _request.changes = []


@never_fails
def finish_request(**kwargs: Any) -> None:
    changes, _request.changes = _request.changes, None
    if changes:
        raising.current().put(changes)


def _committed(change: Collected) -> None:
    if _request.changes is None:
        raising.current().put([change], gather=True)
    else:
        _request.changes.append(change)


class _RowListener:
    """The row listener of one model without history."""

    def __init__(self, watch: Watch) -> None:
        self.watch = watch

    @never_fails
    def __call__(self, row: RowChange) -> None:
        if row.operation is RowOperation.UPDATED and not (row.written and row.changed):
            return
        environments = self.watch.effect(row.instance, row.operation).environments
        collect(WatchedRow(environments, gate=self.watch.gate), row.using)
