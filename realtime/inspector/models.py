"""The inspector's tables, and its retention and heartbeat periods.

The tables have the prefix ``realtime_`` because they belonged to the app ``realtime`` in earlier releases.
"""

from datetime import datetime, timedelta

from django.db import models

MINUTE = timedelta(minutes=1)

HISTORY_MINUTES = 60
"""The number of minutes that the panel shows."""

HEARTBEAT_SECONDS = 10.0
"""The interval at which a process updates ``seen_at``."""

DEAD_AFTER = timedelta(seconds=30)
"""A process without a heartbeat for this time is not shown. It was killed, or its machine is down."""

REPEAT_AFTER = timedelta(minutes=10)
"""A minute's row is valid until the next row. If nothing happens, it is written again after this time."""

LOOKBACK = MINUTE * HISTORY_MINUTES + REPEAT_AFTER
"""The oldest row that may still be valid in the shown minutes."""

RETENTION = LOOKBACK + timedelta(minutes=5)
"""Older rows are deleted."""


def minute_of(moment: datetime) -> datetime:
    """The start of the moment's minute."""
    return moment.replace(second=0, microsecond=0)


class InspectedProcess(models.Model):
    """A process that serves streams. Its row is kept for an hour after its end, like its events."""

    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    """The last heartbeat, by the database's clock, so that all processes use the same clock."""
    ended_at = models.DateTimeField(null=True)
    """The time of a regular exit. A killed process has none."""

    class Meta:
        db_table = "realtime_inspectedprocess"


class InspectedMinute(models.Model):
    """An environment's minute in one process. A minute without a row is like the previous one, without events."""

    # A big integer, because each upsert uses up a value of the sequence, too.
    id = models.BigAutoField(primary_key=True)
    process = models.IntegerField()
    environment = models.CharField(max_length=100)
    minute = models.DateTimeField(db_index=True)
    streams = models.IntegerField()
    """Open streams at the end of the minute, or now."""
    windows = models.IntegerField(default=0, db_default=0)
    """Windows of the dashboard at that time."""
    published = models.IntegerField()
    """Events committed in this process."""
    delivered = models.IntegerField()
    """Events that this process delivered to at least one stream."""
    written = models.IntegerField()
    """Deliveries: an event written to 1,000 streams counts 1,000."""
    superseded = models.IntegerField()
    times = models.JSONField()
    """Durations from ``updated_at`` to the write, as stored by ``durations.py``."""

    class Meta:
        db_table = "realtime_inspectedminute"
        constraints = [
            models.UniqueConstraint(fields=["environment", "minute", "process"], name="realtime_inspected_minute")
        ]


class InspectedEvent(models.Model):
    """What one process has observed of an event. A process may write several rows: the reader adds them up."""

    id = models.BigAutoField(primary_key=True)
    process = models.IntegerField()
    environment = models.CharField(max_length=100)
    updated_at = models.DateTimeField()
    noted_at = models.DateTimeField(db_index=True)
    written_at = models.DateTimeField(null=True)
    """The first write to a stream."""
    committed_at = models.DateTimeField(null=True)
    """The commit, if it happened in this process."""
    written = models.IntegerField()
    superseded = models.IntegerField()
    healed = models.BooleanField()
    times = models.JSONField()

    class Meta:
        db_table = "realtime_inspectedevent"
        indexes = [models.Index(fields=["environment", "updated_at"], name="realtime_inspected_event")]
