"""A process's rows in the database: its own, and those that the ledger wants to be written."""

import os
import socket
import time
from datetime import datetime
from typing import Any

from django.db import router, transaction
from django.db.models import Model, QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from realtime.inspector.ledger import Ledger
from realtime.inspector.models import (
    HEARTBEAT_SECONDS,
    KEPT,
    InspectedEvent,
    InspectedMinute,
    InspectedProcess,
    minute_of,
)

PLACE = ["environment", "minute", "process"]
NUMBERS = ["streams", "published", "heard", "written", "superseded", "times"]

# Rows of events that are kept, of all environments.
MOST_EVENTS = 50_000

# Old rows that are removed in one transaction: SQLite has one writer, and others wait for it.
SLICE = 500


class Records:
    """Of this process. Raises whatever the database raises; what was due then is due still."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._process = 0
        """The number of this process's row; 0: it has none yet."""
        self._started_at = timezone.now()
        self._seen_at = float("-inf")
        self._turned_at: datetime | None = None
        self._using = router.db_for_write(InspectedProcess)

    def write(self, now: datetime) -> None:
        """What is due, in one transaction; and once a minute remove what is old. Nothing due: no query."""
        is_new_minute = minute_of(now) != self._turned_at
        if is_new_minute:
            self._ledger.turn(now)
        if self._ledger.is_due or time.monotonic() - self._seen_at >= HEARTBEAT_SECONDS:
            self._write(now)
        if is_new_minute:
            self._forget(now)
            self._turned_at = minute_of(now)

    def end(self, now: datetime) -> None:
        """What is due, and that the process serves no more."""
        self._write(now)
        InspectedProcess._base_manager.using(self._using).filter(pk=self._process).update(seen_at=Now(), ended_at=Now())

    def _write(self, now: datetime) -> None:
        beat, process, minutes = time.monotonic(), self._process, list[InspectedMinute]()
        with transaction.atomic(using=self._using):
            if beat - self._seen_at >= HEARTBEAT_SECONDS:
                process = self._beat(now)
            else:
                beat = self._seen_at
            events, minutes = self._ledger.due(process)
            if events:
                InspectedEvent._base_manager.using(self._using).bulk_create(events)
            if minutes:
                InspectedMinute._base_manager.using(self._using).bulk_create(
                    minutes, update_conflicts=True, unique_fields=PLACE, update_fields=NUMBERS
                )
        # Only now: what is rolled back has not been written, and the process's number may be another's then.
        self._process, self._seen_at = process, beat
        self._ledger.written(minutes)

    def _beat(self, now: datetime) -> int:
        """Say that the process lives. Returns its number."""
        row = InspectedProcess._base_manager.using(self._using).filter(pk=self._process)
        if self._process and row.update(seen_at=Now()):
            return self._process
        # The first time, or it was stopped for so long that others have removed its row.
        self._ledger.repeat_all(now)
        new = InspectedProcess(host=socket.gethostname(), pid=os.getpid(), started_at=self._started_at, seen_at=Now())
        new.save(using=self._using)
        return new.pk

    def _forget(self, now: datetime) -> None:
        """Remove what is old, of whichever process."""
        events = self._of(InspectedEvent)
        newest = events.order_by("-pk").values_list("pk", flat=True).first() or 0
        self._remove(events.filter(noted_at__lt=now - KEPT))
        self._remove(events.filter(pk__lte=newest - MOST_EVENTS))
        self._remove(self._of(InspectedMinute).filter(minute__lt=now - KEPT))
        self._remove(self._of(InspectedProcess).filter(seen_at__lt=Now() - KEPT))

    def _remove(self, rows: "QuerySet[Any]") -> None:
        # They are looked for first: to remove nothing takes the writer's lock as well.
        while found := list(rows.values_list("pk", flat=True)[:SLICE]):
            rows.filter(pk__in=found).delete()

    def _of(self, model: type[Model]) -> "QuerySet[Any]":
        return model._base_manager.using(self._using)
