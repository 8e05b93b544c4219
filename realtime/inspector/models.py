"""The inspector's tables, and for how long their rows hold and are kept.

The tables' names begin with ``realtime_`` alone: they were ``realtime``'s before.
"""

from datetime import datetime, timedelta

from django.db import models

MINUTE = timedelta(minutes=1)

HISTORY = 60
"""Minutes that are shown."""

HEARTBEAT_SECONDS = 10.0

DEAD_AFTER = timedelta(seconds=30)
"""A process that was not seen for so long is not shown: it was killed, or its machine is gone."""

REPEATED = timedelta(minutes=10)
"""A row of a minute holds until there is another, but is written again after so long."""

CARRIED = MINUTE * HISTORY + REPEATED
"""So far back there may be a row that still holds in what is shown."""

KEPT = CARRIED + timedelta(minutes=5)


def minute_of(moment: datetime) -> datetime:
    """When this moment's minute began."""
    return moment.replace(second=0, microsecond=0)


class InspectedProcess(models.Model):
    """A process that serves streams. Its row stays for an hour after its end, since its events do."""

    host = models.CharField(max_length=255)
    pid = models.IntegerField()
    started_at = models.DateTimeField()
    seen_at = models.DateTimeField()
    """By the database's clock, so that all processes are measured by one."""
    ended_at = models.DateTimeField(null=True)
    """When it has said that it ends. One that was killed says nothing and is seen no more."""

    class Meta:
        db_table = "realtime_inspectedprocess"


class InspectedMinute(models.Model):
    """An environment's minute in one process. Where there is no row, nothing has happened since the last one."""

    # An upsert takes a number, too, each time.
    id = models.BigAutoField(primary_key=True)
    process = models.IntegerField()
    environment = models.CharField(max_length=100)
    minute = models.DateTimeField(db_index=True)
    streams = models.IntegerField()
    """Open at its end, or now."""
    published = models.IntegerField()
    """Events that were committed in this process."""
    heard = models.IntegerField()
    """Events that were told to streams of this process."""
    written = models.IntegerField()
    superseded = models.IntegerField()
    times = models.JSONField()
    """From ``updated_at`` to written (times.py)."""

    class Meta:
        db_table = "realtime_inspectedminute"
        constraints = [
            models.UniqueConstraint(fields=["environment", "minute", "process"], name="realtime_inspected_minute")
        ]


class InspectedEvent(models.Model):
    """Something that one process says of an event. It may say more later: an event's rows are added up."""

    id = models.BigAutoField(primary_key=True)
    process = models.IntegerField()
    environment = models.CharField(max_length=100)
    updated_at = models.DateTimeField()
    noted_at = models.DateTimeField(db_index=True)
    written_at = models.DateTimeField(null=True)
    """When the first stream got it."""
    committed_at = models.DateTimeField(null=True)
    """Known where the change was made."""
    written = models.IntegerField()
    superseded = models.IntegerField()
    healed = models.BooleanField()
    times = models.JSONField()

    class Meta:
        db_table = "realtime_inspectedevent"
        indexes = [models.Index(fields=["environment", "updated_at"], name="realtime_inspected_event")]
