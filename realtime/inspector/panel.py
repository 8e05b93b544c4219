"""What the inspector of an environment shows: who streams it, its newest events, its last hour.

For all processes and machines that share the database, whichever of them asks. What is shown is up to about a second
old. Only with ``REALTIME_INSPECTION`` on is there anything to read.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import groupby
from operator import attrgetter
from typing import Literal

from django.db.models.functions import Now
from django.utils import timezone

from realtime.inspector.models import (
    CARRIED,
    DEAD_AFTER,
    HISTORY,
    MINUTE,
    InspectedEvent,
    InspectedMinute,
    InspectedProcess,
    minute_of,
)
from realtime.inspector.times import Times
from realtime.types import UpdatedAt, epoch_seconds

EVENTS = 100

MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True, slots=True)
class Process:
    """A process that serves streams, and what it has of the environment."""

    id: int
    host: str
    """Its machine's name."""
    pid: int
    started_at: datetime
    seen_at: datetime
    """It says so every ten seconds. One that has not for thirty is left out."""
    streams: int
    """Open now. Those that have met a limit hear nothing and are not counted."""


@dataclass(frozen=True, slots=True)
class Share:
    """What one process did of an event."""

    process: int
    """Its ``Process.id``. The process itself may have ended since."""
    host: str
    pid: int
    written: int
    superseded: int
    healed: bool


@dataclass(frozen=True, slots=True)
class Event:
    """An event as it went out."""

    updated_at: UpdatedAt
    """The environment's version, to the microsecond: what ``audit.events`` joins with."""
    at: datetime
    """When the first stream got it; where none has (yet), when it was committed or noticed."""
    committed_at: datetime | None
    """None: it was not made in a process that serves streams, so nobody knows."""
    written: int
    """Streams that it was written to. Not those that begin with it."""
    superseded: int
    """Streams that got only a later one instead."""
    healed: bool
    """Some process has it from the reconcile and not from the bus. With the memory bus that is the usual way."""
    p50_ms: float | None
    """From ``measured_from`` to written, for half of the streams; None where it was written to none."""
    p99_ms: float | None
    measured_from: Literal["commit", "updated_at"]
    """``updated_at`` is taken in the transaction, before the commit."""
    processes: tuple[Share, ...]
    """By host and pid."""

    @property
    def version(self) -> str:
        """``updated_at`` exactly as SDKs see it: seconds since the epoch, with six places."""
        return epoch_seconds(self.updated_at)


@dataclass(frozen=True, slots=True)
class Minute:
    """A minute of the environment, in all processes together."""

    begins_at: datetime
    streams: int
    """Open at its end; in the last one, now."""
    events: int
    written: int
    """Of one event to a thousand streams a thousand."""
    superseded: int
    p50_ms: float | None
    """From ``updated_at`` to written, for half of what was written; None where nothing was."""
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Panel:
    """All of it, read at one time."""

    streams: int
    processes: tuple[Process, ...]
    """All that serve, also those without a stream of this environment; by host and pid."""
    events: tuple[Event, ...]
    """The newest first."""
    history: tuple[Minute, ...]
    """Sixty minutes, the oldest first; the last one goes on."""


def panel(environment_key: str, limit: int = EVENTS) -> Panel:
    """Everything, with three queries."""
    known, minutes = _known(), _minutes(environment_key)
    alive = _processes(known, minutes)
    return Panel(
        streams=sum(process.streams for process in alive),
        processes=alive,
        events=_events(environment_key, limit, known),
        history=_history(known, minutes),
    )


@dataclass(frozen=True, slots=True)
class _Known:
    """A process that serves or has served."""

    row: InspectedProcess
    served_until: datetime | None
    """None: it serves."""

    def serves_at(self, moment: datetime) -> bool:
        return self.row.started_at < moment and (self.served_until is None or self.served_until >= moment)


Minutes = Mapping[int, list[InspectedMinute]]
"""An environment's rows by process, in the order of time."""


def _known() -> dict[int, _Known]:
    rows = InspectedProcess.objects.annotate(now=Now()).order_by("host", "pid", "id")
    known = {}
    for row in rows:
        is_dead = row.now - row.seen_at > DEAD_AFTER
        known[row.pk] = _Known(row, row.ended_at or (row.seen_at if is_dead else None))
    return known


def _minutes(key: str) -> Minutes:
    rows = InspectedMinute.objects.filter(environment=key, minute__gte=minute_of(timezone.now()) - CARRIED)
    by_process = defaultdict(list)
    for row in rows.order_by("minute"):
        by_process[row.process].append(row)
    return by_process


def _processes(known: Mapping[int, _Known], minutes: Minutes) -> tuple[Process, ...]:
    return tuple(
        Process(
            id=pk,
            host=process.row.host,
            pid=process.row.pid,
            started_at=process.row.started_at,
            seen_at=process.row.seen_at,
            streams=minutes[pk][-1].streams if pk in minutes else 0,
        )
        for pk, process in known.items()
        if process.served_until is None
    )


def _events(key: str, limit: int, known: Mapping[int, _Known]) -> tuple[Event, ...]:
    rows = InspectedEvent.objects.filter(environment=key)
    newest = rows.order_by("-updated_at").values("updated_at").distinct()[:limit]
    found = rows.filter(updated_at__in=newest).order_by("-updated_at", "id")
    return tuple(_event(list(of_one), known) for _, of_one in groupby(found, attrgetter("updated_at")))


def _event(rows: list[InspectedEvent], known: Mapping[int, _Known]) -> Event:
    times = Times()
    for row in rows:
        times.add_kept(row.times)
    updated_at = rows[0].updated_at
    committed_at = min((row.committed_at for row in rows if row.committed_at is not None), default=None)
    written_at = min((row.written_at for row in rows if row.written_at is not None), default=None)
    before = (committed_at - updated_at) / MILLISECOND if committed_at is not None else 0.0
    return Event(
        updated_at=updated_at,
        at=written_at or committed_at or rows[0].noted_at,
        committed_at=committed_at,
        written=sum(row.written for row in rows),
        superseded=sum(row.superseded for row in rows),
        healed=any(row.healed for row in rows),
        p50_ms=_since(before, times.percentile(50)),
        p99_ms=_since(before, times.percentile(99)),
        measured_from="updated_at" if committed_at is None else "commit",
        processes=_shares(rows, known),
    )


def _since(before: float, milliseconds: float | None) -> float | None:
    return max(0.0, milliseconds - before) if milliseconds is not None else None


def _shares(rows: Iterable[InspectedEvent], known: Mapping[int, _Known]) -> tuple[Share, ...]:
    by_process = defaultdict(list)
    for row in rows:
        by_process[row.process].append(row)
    return tuple(
        Share(
            process=pk,
            host=process.row.host,
            pid=process.row.pid,
            written=sum(row.written for row in by_process[pk]),
            superseded=sum(row.superseded for row in by_process[pk]),
            healed=any(row.healed for row in by_process[pk]),
        )
        for pk, process in known.items()
        if pk in by_process
    )


def _history(known: Mapping[int, _Known], minutes: Minutes) -> tuple[Minute, ...]:
    now = timezone.now()
    return tuple(_minute(minute_of(now) - MINUTE * ago, now, known, minutes) for ago in range(HISTORY - 1, -1, -1))


def _minute(begins_at: datetime, now: datetime, known: Mapping[int, _Known], minutes: Minutes) -> Minute:
    ends_at = min(begins_at + MINUTE, now)
    streams = 0
    rows = []
    for pk, of_process in minutes.items():
        so_far = bisect_right(of_process, begins_at, key=attrgetter("minute"))
        if not so_far:
            continue
        row = of_process[so_far - 1]
        if pk in known and known[pk].serves_at(ends_at):
            streams += row.streams
        if row.minute == begins_at:
            rows.append(row)
    times = Times()
    for row in rows:
        times.add_kept(row.times)
    return Minute(
        begins_at=begins_at,
        streams=streams,
        # Each process hears of all events, unless it has no stream; each event is committed in one process, unless
        # that serves no streams.
        events=max(sum(row.published for row in rows), *(row.heard for row in rows), 0),
        written=sum(row.written for row in rows),
        superseded=sum(row.superseded for row in rows),
        p50_ms=times.percentile(50),
        p99_ms=times.percentile(99),
    )
