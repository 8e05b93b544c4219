"""Writes the journal's observations to the database, in at most one small transaction per second. Deletes old rows.

Nothing waits for it. If the database is unavailable, only the inspector's rows are lost.
"""

import os
import socket
import threading
import time
from collections import deque
from datetime import datetime
from typing import Any

import structlog
from django.db import connections, router, transaction
from django.db.models import Model, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from realtime.failure_log import FailureLog
from realtime.inspector.models import (
    HEARTBEAT_SECONDS,
    RETENTION,
    InspectedEvent,
    InspectedMinute,
    InspectedProcess,
    minute_of,
)
from realtime.inspector.pending_rows import Observations, PendingRows
from realtime.workers import BackgroundWorker

logger = structlog.get_logger(__name__)

# The pause between two transactions, if the rows do not fit into one.
PAUSE_SECONDS = 1.0

# The pauses after failures.
RETRY_PAUSES = (5.0, 5.0)

# Observations, of a second each, that are kept while the database is unavailable.
MAX_WAITING = 60

# The longest time for which a process that ends waits for the rest to be written.
STOP_SECONDS = 2.0

UNIQUE_FIELDS = ["environment", "minute", "process"]
VALUE_FIELDS = ["streams", "windows", "published", "delivered", "written", "superseded", "times"]

# The most rows of events that are kept, of all environments and processes.
MAX_EVENT_ROWS = 50_000

# Old rows deleted in one transaction. It is small, because SQLite has a single writer for which others wait.
DELETE_BATCH = 500


class Writer:
    """The rows of one process, and the background worker that writes them."""

    def __init__(self, pending: PendingRows) -> None:
        self.worker = BackgroundWorker(
            "realtime-inspection",
            self._write_regularly,
            FailureLog(logger, "inspection_not_written", "inspection_written_again"),
            pauses=RETRY_PAUSES,
            stop_seconds=STOP_SECONDS,
            finish=self._end,
        )
        self._pending = pending
        self._lock = threading.Lock()
        self._waiting: deque[Observations] = deque(maxlen=MAX_WAITING)
        self._process = 0
        """The primary key of this process's row; 0 before it has one."""
        self._started_at = timezone.now()
        self._seen_at = float("-inf")
        self._minute: datetime | None = None
        self._using = router.db_for_write(InspectedProcess)

    def put(self, observations: Observations) -> None:
        """Queue observations for the thread."""
        with self._lock:
            dropped = self._waiting[0] if len(self._waiting) == MAX_WAITING else None
            self._waiting.append(observations)
            if dropped is not None:
                # Keep the newest numbers of streams, which are written only when they change.
                self._waiting[0].streams = dropped.streams | self._waiting[0].streams
        if not self._pending.is_due:
            self.worker.wake()

    def write(self, now: datetime) -> None:
        """Write the pending rows in one transaction, and once a minute delete old rows.

        Runs no query if nothing is pending. If the database raises, the exception propagates, and the rows stay
        pending.
        """
        is_new_minute = minute_of(now) != self._minute
        if is_new_minute:
            self._pending.begin_minute(now)
        if self._pending.is_due or time.monotonic() - self._seen_at >= HEARTBEAT_SECONDS:
            self._write(now)
        if is_new_minute:
            self._delete_old(now)
            self._minute = minute_of(now)

    def end(self, now: datetime) -> None:
        """Write the pending rows, and mark the process as ended."""
        self._write(now)
        InspectedProcess._base_manager.using(self._using).filter(pk=self._process).update(seen_at=Now(), ended_at=Now())

    def _write_regularly(self) -> float:
        self.write(self._receive())
        # Hold no connection between two transactions: neither one of the pool nor one that the database may close.
        connections.close_all()
        return PAUSE_SECONDS if self._pending.is_due else HEARTBEAT_SECONDS

    def _end(self) -> None:
        self.end(self._receive())

    def _receive(self) -> datetime:
        """Add the queued observations to the pending rows. Returns their time."""
        now = timezone.now()
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
        for observations in waiting:
            self._pending.add(observations, now)
        return now

    def _write(self, now: datetime) -> None:
        beat, process, minutes = time.monotonic(), self._process, list[InspectedMinute]()
        with transaction.atomic(using=self._using):
            if beat - self._seen_at >= HEARTBEAT_SECONDS:
                process = self._heartbeat(now)
            else:
                beat = self._seen_at
            events, minutes = self._pending.due(process)
            if events:
                InspectedEvent._base_manager.using(self._using).bulk_create(events)
            if minutes:
                InspectedMinute._base_manager.using(self._using).bulk_create(
                    minutes, update_conflicts=True, unique_fields=UNIQUE_FIELDS, update_fields=VALUE_FIELDS
                )
        # After the commit: if the transaction is rolled back, no row was written, and the primary key is not ours.
        self._process, self._seen_at = process, beat
        self._pending.written(minutes)

    def _heartbeat(self, now: datetime) -> int:
        """Update ``seen_at``, or insert the process's row. Returns its primary key."""
        row = InspectedProcess._base_manager.using(self._using).filter(pk=self._process)
        if self._process and row.update(seen_at=Now()):
            return self._process
        # The first heartbeat, or the process was stopped for so long that another one has deleted its row.
        self._pending.repeat_all(now)
        new = InspectedProcess(host=socket.gethostname(), pid=os.getpid(), started_at=self._started_at, seen_at=Now())
        new.save(using=self._using)
        return new.pk

    def _delete_old(self, now: datetime) -> None:
        """Delete old rows of all processes."""
        events = self._of(InspectedEvent)
        newest = events.order_by("-pk").values_list("pk", flat=True).first() or 0
        self._delete(events.filter(noted_at__lt=now - RETENTION))
        self._delete(events.filter(pk__lte=newest - MAX_EVENT_ROWS))
        self._delete(self._of(InspectedMinute).filter(minute__lt=now - RETENTION))
        self._delete(self._of(InspectedProcess).filter(seen_at__lt=Now() - RETENTION))

    def _delete(self, rows: "QuerySet[Any]") -> None:
        # Select first: a DELETE takes SQLite's write lock even if it matches no row.
        while found := list(rows.values_list("pk", flat=True)[:DELETE_BATCH]):
            rows.filter(pk__in=found).delete()

    def _of(self, model: type[Model]) -> "QuerySet[Any]":
        return model._base_manager.using(self._using)
