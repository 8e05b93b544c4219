"""The inspector's pending rows: current values, and which of them still have to be written.

The event loop collects ``Observations``. The writing thread adds them to its ``PendingRows``.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

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


@dataclass(slots=True)
class EventObservation:
    """What this process has observed of an event since the last hand-over. Times are seconds since the epoch."""

    written: int = 0
    superseded: int = 0
    healed: bool = False
    written_at: float | None = None
    committed_at: float | None = None
    times: Durations = field(default_factory=Durations)


class ObservedEvent(NamedTuple):
    key: EnvironmentKey
    updated_at: UpdatedAt
    observation: EventObservation


class OpenStreams(NamedTuple):
    """The open streams of an environment: those of applications, and those of windows of the dashboard."""

    applications: int = 0
    windows: int = 0


class Observations:
    """What a hub has observed since the last hand-over: events, and numbers of streams that may have changed."""

    def __init__(self) -> None:
        self.streams: dict[EnvironmentKey, OpenStreams] = {}
        self._events: dict[EnvironmentKey, dict[UpdatedAt, EventObservation]] = {}

    def __bool__(self) -> bool:
        return bool(self.streams or self._events)

    def of(self, key: EnvironmentKey, updated_at: UpdatedAt) -> EventObservation:
        """The observation of this event, to be changed."""
        of_environment = self._events.get(key)
        if of_environment is None:
            of_environment = self._events[key] = {}
        observation = of_environment.get(updated_at)
        if observation is None:
            observation = of_environment[updated_at] = EventObservation()
        return observation

    def events(self) -> Iterator[list[ObservedEvent]]:
        """The events of each environment, the newest first."""
        for key, by_version in self._events.items():
            yield [ObservedEvent(key, version, by_version[version]) for version in sorted(by_version, reverse=True)]


@dataclass(slots=True)
class Totals:
    """The totals of one minute of an environment."""

    streams: OpenStreams
    published: int = 0
    delivered: int = 0
    """Events that were delivered to at least one stream, each counted once."""
    written: int = 0
    superseded: int = 0
    times: Durations = field(default_factory=Durations)


class PendingRows:
    """The rows of one process."""

    def __init__(self) -> None:
        self._streams: dict[EnvironmentKey, OpenStreams] = {}
        self._newest_minute: dict[EnvironmentKey, datetime] = {}
        """The minute of the environment's newest written row."""
        self._newest_delivered: dict[EnvironmentKey, UpdatedAt] = {}
        """The newest event that was counted as delivered."""
        self._minutes: dict[MinuteKey, Totals] = {}
        self._due: dict[MinuteKey, None] = {}
        """Minutes that have to be written, the oldest first."""
        self._events: list[InspectedEvent] = []

    def add(self, observations: Observations, now: datetime) -> None:
        minute = minute_of(now)
        for key, streams in observations.streams.items():
            if streams != self._streams.get(key, OpenStreams()):
                self._streams[key] = streams
                self._change(key, minute).streams = streams
        sampled: list[ObservedEvent] = []
        for of_environment in observations.events():
            for event in reversed(of_environment):
                self._count(event, minute)
            sampled += _sample(of_environment)
        if len(sampled) > MAX_EVENTS:
            sampled = sorted(sampled, key=lambda event: event.updated_at)[-MAX_EVENTS:]
        # Limited, because they accumulate while the database is unavailable.
        self._events = [*self._events, *(_row(event, now) for event in sampled)][-MAX_EVENTS:]

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
        for event in self._events:
            # A primary key from a transaction that was rolled back may belong to another row by now.
            event.pk, event.process = None, process
        return self._events, [self._row(process, *key) for key in islice(self._due, MAX_MINUTES)]

    def written(self, minutes: Iterable[InspectedMinute]) -> None:
        """Remove all events and these minutes, which have been written."""
        self._events = []
        for row in minutes:
            key = EnvironmentKey(row.environment)
            del self._due[key, row.minute]
            self._newest_minute[key] = max(row.minute, self._newest_minute.get(key, row.minute))

    def _change(self, key: EnvironmentKey, minute: datetime) -> Totals:
        """The totals of this minute, to be changed and written."""
        self._due[key, minute] = None
        totals = self._minutes.get((key, minute))
        if totals is None:
            totals = self._minutes[key, minute] = Totals(self._streams.get(key, OpenStreams()))
        return totals

    def _count(self, event: ObservedEvent, minute: datetime) -> None:
        """Count an event in the minute of its version, the same in all processes, or in this one if that is over."""
        key, updated_at, observation = event
        own = minute_of(updated_at)
        totals = self._change(key, own if own in (minute, minute - MINUTE) else minute)
        if observation.committed_at is not None:
            totals.published += 1
        if observation.written and (key not in self._newest_delivered or updated_at > self._newest_delivered[key]):
            self._newest_delivered[key] = updated_at
            totals.delivered += 1
        totals.written += observation.written
        totals.superseded += observation.superseded
        totals.times.merge(observation.times)

    def _row(self, process: int, key: EnvironmentKey, minute: datetime) -> InspectedMinute:
        totals = self._minutes[key, minute]
        return InspectedMinute(
            process=process,
            environment=key,
            minute=minute,
            streams=totals.streams.applications,
            windows=totals.streams.windows,
            published=totals.published,
            delivered=totals.delivered,
            written=totals.written,
            superseded=totals.superseded,
            times=totals.times.stored(),
        )


def _sample(newest_first: list[ObservedEvent]) -> Iterator[ObservedEvent]:
    if len(newest_first) <= MAX_EVENTS_PER_ENVIRONMENT:
        yield from newest_first
        return
    seen = set()
    for event in newest_first:
        interval = int(event.updated_at.timestamp() * SAMPLES_PER_SECOND)
        if interval not in seen:
            seen.add(interval)
            yield event


def _row(event: ObservedEvent, now: datetime) -> InspectedEvent:
    observation = event.observation
    return InspectedEvent(
        environment=event.key,
        updated_at=event.updated_at,
        noted_at=now,
        written_at=_time(observation.written_at),
        committed_at=_time(observation.committed_at),
        written=observation.written,
        superseded=observation.superseded,
        healed=observation.healed,
        times=observation.times.stored(),
    )


def _time(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None
