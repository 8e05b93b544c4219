"""The inspector's pending rows: current values, and which of them still have to be written.

The event loop notes (``Notes``); the writing thread enters the notes into its ``Ledger``.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import NamedTuple

from realtime.inspector.models import MINUTE, REPEATED, InspectedEvent, InspectedMinute, minute_of
from realtime.inspector.times import Times
from realtime.types import EnvironmentKey, UpdatedAt

# Of an environment's events so many have rows of their own each time, of more only some, and of all environments' so
# many together. The others count in the minute. Of those in one tenth of a second the newest is kept, by the event's
# own time, so that all processes keep the same ones.
MOST_OF_ONE = 20
EACH_SECOND = 10
MOST_EVENTS = 200

MOST_MINUTES = 500

Place = tuple[EnvironmentKey, datetime]
"""An environment's minute."""


@dataclass(slots=True)
class Note:
    """What this process says of an event, since it has last said something of it. Times are seconds of the epoch."""

    written: int = 0
    superseded: int = 0
    healed: bool = False
    written_at: float | None = None
    committed_at: float | None = None
    times: Times = field(default_factory=Times)


class Told(NamedTuple):
    """An event, and what is said of it."""

    key: EnvironmentKey
    updated_at: UpdatedAt
    note: Note


class Notes:
    """Of some time: environments whose number of streams may have changed, with what it is now, and events."""

    def __init__(self) -> None:
        self.streams: dict[EnvironmentKey, int] = {}
        self._events: dict[EnvironmentKey, dict[UpdatedAt, Note]] = {}

    def __bool__(self) -> bool:
        return bool(self.streams or self._events)

    def of(self, key: EnvironmentKey, updated_at: UpdatedAt) -> Note:
        """The note about this event."""
        of_environment = self._events.get(key)
        if of_environment is None:
            of_environment = self._events[key] = {}
        note = of_environment.get(updated_at)
        if note is None:
            note = of_environment[updated_at] = Note()
        return note

    def events(self) -> Iterator[list[Told]]:
        """Of each environment, the newest first."""
        for key, of_environment in self._events.items():
            yield [Told(key, updated_at, of_environment[updated_at]) for updated_at in sorted(of_environment)[::-1]]


@dataclass(slots=True)
class Totals:
    """Of one minute of an environment."""

    streams: int
    published: int = 0
    heard: int = 0
    written: int = 0
    superseded: int = 0
    times: Times = field(default_factory=Times)


class Ledger:
    """Of one process."""

    def __init__(self) -> None:
        self._streams: dict[EnvironmentKey, int] = {}
        self._said_at: dict[EnvironmentKey, datetime] = {}
        """The minute of the environment's newest row."""
        self._heard: dict[EnvironmentKey, UpdatedAt] = {}
        """The newest event that was counted as heard."""
        self._minutes: dict[Place, Totals] = {}
        self._due: dict[Place, None] = {}
        """Rows that have to be written, the oldest first."""
        self._events: list[InspectedEvent] = []

    def take(self, notes: Notes, now: datetime) -> None:
        """Enter what was noted up to now."""
        minute = minute_of(now)
        for key, streams in notes.streams.items():
            if streams != self._streams.get(key, 0):
                self._streams[key] = streams
                self._at(key, minute).streams = streams
        kept: list[Told] = []
        for of_environment in notes.events():
            for told in reversed(of_environment):
                self._count(told, minute)
            kept += _some_of(of_environment)
        if len(kept) > MOST_EVENTS:
            kept = sorted(kept, key=lambda told: told.updated_at)[-MOST_EVENTS:]
        # What a database that was away has not taken is not kept for ever.
        self._events = [*self._events, *(_row(told, now) for told in kept)][-MOST_EVENTS:]

    def turn(self, now: datetime) -> None:
        """A minute has begun: repeat what was said long ago, and forget what nobody asks for any more."""
        minute = minute_of(now)
        for key in [key for key, said_at in self._said_at.items() if minute - said_at >= REPEATED]:
            if self._streams.get(key):
                self._at(key, minute)
            else:
                del self._said_at[key]
                self._streams.pop(key, None)
                self._heard.pop(key, None)
        for place in [place for place in self._minutes if place[1] < minute - MINUTE and place not in self._due]:
            del self._minutes[place]

    def repeat_all(self, now: datetime) -> None:
        """Nothing is known of this process any more: all has to be said again."""
        for key, streams in self._streams.items():
            if streams:
                self._at(key, minute_of(now))

    @property
    def is_due(self) -> bool:
        return bool(self._events or self._due)

    def due(self, process: int) -> tuple[list[InspectedEvent], list[InspectedMinute]]:
        """What is to be written now, at most so many rows, for the process of this number."""
        for event in self._events:
            # A number that it has got in a transaction that failed may be another's by now.
            event.pk, event.process = None, process
        return self._events, [self._minute(process, *place) for place in islice(self._due, MOST_MINUTES)]

    def written(self, minutes: Iterable[InspectedMinute]) -> None:
        """All those events and these minutes have been written."""
        self._events = []
        for row in minutes:
            key = EnvironmentKey(row.environment)
            del self._due[key, row.minute]
            self._said_at[key] = max(row.minute, self._said_at.get(key, row.minute))

    def _at(self, key: EnvironmentKey, minute: datetime) -> Totals:
        """The totals of this minute, to be changed."""
        place = (key, minute)
        self._due[place] = None
        totals = self._minutes.get(place)
        if totals is None:
            totals = self._minutes[place] = Totals(self._streams.get(key, 0))
        return totals

    def _count(self, told: Told, minute: datetime) -> None:
        """In the event's own minute, which is the same for all processes; not in one that is long over."""
        key, updated_at, note = told
        own = minute_of(updated_at)
        totals = self._at(key, own if own in (minute, minute - MINUTE) else minute)
        if note.committed_at is not None:
            totals.published += 1
        if note.written and (key not in self._heard or updated_at > self._heard[key]):
            self._heard[key] = updated_at
            totals.heard += 1
        totals.written += note.written
        totals.superseded += note.superseded
        totals.times.merge(note.times)

    def _minute(self, process: int, key: EnvironmentKey, minute: datetime) -> InspectedMinute:
        totals = self._minutes[key, minute]
        return InspectedMinute(
            process=process,
            environment=key,
            minute=minute,
            streams=totals.streams,
            published=totals.published,
            heard=totals.heard,
            written=totals.written,
            superseded=totals.superseded,
            times=totals.times.kept(),
        )


def _some_of(newest_first: list[Told]) -> Iterator[Told]:
    if len(newest_first) <= MOST_OF_ONE:
        yield from newest_first
        return
    parts = set()
    for told in newest_first:
        part = int(told.updated_at.timestamp() * EACH_SECOND)
        if part not in parts:
            parts.add(part)
            yield told


def _row(told: Told, now: datetime) -> InspectedEvent:
    note = told.note
    return InspectedEvent(
        environment=told.key,
        updated_at=told.updated_at,
        noted_at=now,
        written_at=_time(note.written_at),
        committed_at=_time(note.committed_at),
        written=note.written,
        superseded=note.superseded,
        healed=note.healed,
        times=note.times.kept(),
    )


def _time(seconds: float | None) -> datetime | None:
    return datetime.fromtimestamp(seconds, UTC) if seconds is not None else None
