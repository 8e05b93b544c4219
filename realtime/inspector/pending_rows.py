"""The inspector's pending rows: current values, and which of them still have to be written.

The event loop collects ``Observations``. The writing thread adds them to its ``PendingRows``.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby, islice
from operator import attrgetter
from typing import NamedTuple

from django.utils import timezone

from realtime.inspector.durations import Durations
from realtime.inspector.models import MINUTE, REPEAT_AFTER, InspectedEvent, InspectedMinute, minute_of
from realtime.types import EnvironmentKey, UpdatedAt

# Limits for rows of single events. Up to ``MAX_EVENTS_PER_ENVIRONMENT`` events of an environment are all written. Of
# more, only the newest in each 1/``SAMPLES_PER_SECOND`` second is written; this depends on the event's own time, so all
# processes choose the same ones. ``MAX_EVENTS`` is for all environments together. All events count in their minute.
MAX_EVENTS_PER_ENVIRONMENT = 20
SAMPLES_PER_SECOND = 10
MAX_EVENTS = 200

MAX_MINUTES = 500

MinuteKey = tuple[EnvironmentKey, datetime]


class OpenStreams(NamedTuple):
    """The open streams of an environment: those of applications, and those of windows of the dashboard."""

    applications: int = 0
    windows: int = 0


@dataclass(slots=True)
class Observations:
    """What a hub has observed since the last hand-over: events, and numbers of streams that may have changed."""

    events: dict[tuple[EnvironmentKey, UpdatedAt], InspectedEvent] = field(default_factory=dict)
    streams: dict[EnvironmentKey, OpenStreams] = field(default_factory=dict)

    def of(self, key: EnvironmentKey, updated_at: UpdatedAt) -> InspectedEvent:
        """The row of this event, to be changed."""
        row = self.events.get((key, updated_at))
        if row is None:
            row = self.events[key, updated_at] = InspectedEvent(
                environment=key,
                updated_at=updated_at,
                noted_at=timezone.now(),
                written=0,
                superseded=0,
                healed=False,
                times=Durations(),
            )
        return row


class PendingRows:
    """The rows of one process."""

    def __init__(self) -> None:
        self._streams: dict[EnvironmentKey, OpenStreams] = {}
        self._newest_minute: dict[EnvironmentKey, datetime] = {}
        """The minute of the environment's newest written row."""
        self._newest_delivered: dict[EnvironmentKey, UpdatedAt] = {}
        """The newest event that was counted as delivered."""
        self._minutes: dict[MinuteKey, InspectedMinute] = {}
        self._due: dict[MinuteKey, None] = {}
        """Minutes that have to be written, the oldest first."""
        self._events: list[InspectedEvent] = []

    def add(self, observations: Observations, now: datetime) -> None:
        minute = minute_of(now)
        for key, streams in observations.streams.items():
            if streams != self._streams.get(key, OpenStreams()):
                self._streams[key] = streams
                row = self._change(key, minute)
                row.streams, row.windows = streams
        sampled: list[InspectedEvent] = []
        oldest_first = sorted(observations.events.values(), key=attrgetter("environment", "updated_at"))
        for _, of_environment in groupby(oldest_first, attrgetter("environment")):
            events = list(of_environment)
            for event in events:
                self._count(event, minute)
            sampled += _sample(events)
        # Limited, because they accumulate while the database is unavailable.
        self._events = [*self._events, *sorted(sampled, key=attrgetter("updated_at"))][-MAX_EVENTS:]

    def begin_minute(self, now: datetime) -> None:
        """Repeat rows that were written long ago, and remove the values of environments without streams."""
        minute = minute_of(now)
        for key in [key for key, written in self._newest_minute.items() if minute - written >= REPEAT_AFTER]:
            if any(self._streams.get(key, ())):
                self._change(key, minute)
            else:
                del self._newest_minute[key]
                self._streams.pop(key, None)
                self._newest_delivered.pop(key, None)
        old = [pair for pair in self._minutes if pair[1] < minute - MINUTE and pair not in self._due]
        for environment_and_minute in old:
            del self._minutes[environment_and_minute]

    def repeat_all(self, now: datetime) -> None:
        """Write the numbers of streams again, because the database has no row of this process."""
        for key, streams in self._streams.items():
            if any(streams):
                self._change(key, minute_of(now))

    @property
    def is_due(self) -> bool:
        return bool(self._events or self._due)

    def due(self, process: int) -> tuple[list[InspectedEvent], list[InspectedMinute]]:
        """The rows to write now, for the process with this primary key. Their number is limited."""
        minutes = [self._minutes[key] for key in islice(self._due, MAX_MINUTES)]
        rows: tuple[InspectedEvent | InspectedMinute, ...] = (*self._events, *minutes)
        for row in rows:
            # A primary key from a transaction that was rolled back may belong to another row by now.
            row.pk, row.process = None, process
        return self._events, minutes

    def written(self, minutes: Iterable[InspectedMinute]) -> None:
        """Remove all events and these minutes, which have been written."""
        self._events = []
        for row in minutes:
            key = EnvironmentKey(row.environment)
            del self._due[key, row.minute]
            self._newest_minute[key] = max(row.minute, self._newest_minute.get(key, row.minute))

    def _change(self, key: EnvironmentKey, minute: datetime) -> InspectedMinute:
        """The row of this minute, to be changed and written."""
        self._due[key, minute] = None
        row = self._minutes.get((key, minute))
        if row is None:
            streams, windows = self._streams.get(key, OpenStreams())
            row = self._minutes[key, minute] = InspectedMinute(
                environment=key,
                minute=minute,
                streams=streams,
                windows=windows,
                published=0,
                delivered=0,
                written=0,
                superseded=0,
                times=Durations(),
            )
        return row

    def _count(self, event: InspectedEvent, minute: datetime) -> None:
        """Count an event in the minute of its version, the same in all processes, or in this one if that is over."""
        key, updated_at, own = EnvironmentKey(event.environment), event.updated_at, minute_of(event.updated_at)
        row = self._change(key, own if own in (minute, minute - MINUTE) else minute)
        if event.committed_at is not None:
            row.published += 1
        if event.written and (key not in self._newest_delivered or updated_at > self._newest_delivered[key]):
            self._newest_delivered[key] = updated_at
            row.delivered += 1
        row.written += event.written
        row.superseded += event.superseded
        row.times.update(event.times)


def _sample(oldest_first: list[InspectedEvent]) -> Iterable[InspectedEvent]:
    if len(oldest_first) <= MAX_EVENTS_PER_ENVIRONMENT:
        return oldest_first
    return {int(event.updated_at.timestamp() * SAMPLES_PER_SECOND): event for event in oldest_first}.values()
