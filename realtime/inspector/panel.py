"""Reads what the inspector shows of an environment: the processes that stream it, its newest events, its last hour.

It covers all processes and machines that share the database, and is up to about one second old. Without
``REALTIME_INSPECTION`` there is nothing to read.
"""

from bisect import bisect_right
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from operator import attrgetter

from django.db.models.functions import Now
from django.utils import timezone

from realtime.inspector.durations import Durations
from realtime.inspector.models import (
    DEAD_AFTER,
    HISTORY_MINUTES,
    LOOKBACK,
    MINUTE,
    InspectedEvent,
    InspectedMinute,
    InspectedProcess,
    minute_of,
)
from realtime.types import UpdatedAt, epoch_seconds

EVENTS = 100


@dataclass(frozen=True, slots=True)
class Process:
    """A process that serves streams, and its number of streams of the environment."""

    id: int
    host: str
    """The host name of its machine."""
    pid: int
    started_at: datetime
    seen_at: datetime
    """The last heartbeat, of one every ten seconds. A process without one for 30 s is left out."""
    streams: int
    """Open streams, without those over a limit, which get no events."""
    windows: int
    """Open windows of the dashboard."""


@dataclass(frozen=True, slots=True)
class Share:
    """One process's share in the delivery of an event."""

    process: int
    """The ``Process.id``. The process may have ended since."""
    host: str
    pid: int
    written: int
    superseded: int
    healed: bool


@dataclass(frozen=True, slots=True)
class Event:
    """An event and its delivery, in all processes together."""

    updated_at: UpdatedAt
    """The environment's version, with microseconds. ``audit.events`` uses it to find the change."""
    at: datetime
    """The first write to a stream. Without a write: the commit, or the time at which the event was found."""
    committed_at: datetime | None
    """None if the change was not made in a process that serves streams."""
    written: int
    """The number of open streams to which it was written. Initial events of new streams are not counted."""
    superseded: int
    """The number of streams that got a later event instead."""
    healed: bool
    """True if a process found it by the reconcile and not by the bus. With the memory bus that is normal."""
    p50_ms: float | None
    """Latency: time from ``updated_at`` to the write, median over streams; None if it was written to no stream."""
    p99_ms: float | None
    processes: tuple[Share, ...]
    """Ordered by host and pid."""

    @property
    def version(self) -> str:
        """``updated_at`` as SDKs read it: seconds since the epoch, with six decimal places."""
        return epoch_seconds(self.updated_at)


@dataclass(frozen=True, slots=True)
class Minute:
    """A minute of the environment, in all processes together."""

    begins_at: datetime
    streams: int
    """Open streams at the end of the minute; now, in the last minute."""
    events: int
    written: int
    """Deliveries: an event written to 1,000 streams counts 1,000."""
    superseded: int
    p50_ms: float | None
    """Latency as in ``Event``, median over deliveries; None without deliveries."""
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class Panel:
    """Everything that the inspector shows of an environment."""

    streams: int
    """Open streams of applications."""
    windows: int
    """Open windows of the dashboard, whose streams are no applications."""
    processes: tuple[Process, ...]
    """All running processes, also those without a stream of this environment, ordered by host and pid."""
    events: tuple[Event, ...]
    """The newest first."""
    history: tuple[Minute, ...]
    """Sixty minutes, the oldest first. The last one is not over yet."""
    streams_of: Mapping[str, int]
    """The number of open streams by each other key that was asked for. Such a key may be no environment's."""


def panel(environment_key: str, limit: int = EVENTS, *, other_keys: Collection[str] = ()) -> Panel:
    """Read the panel of an environment, with at most ``limit`` events, in three queries."""
    processes = _read_processes()
    minutes_by_key = _read_minutes([environment_key, *other_keys])
    minutes = minutes_by_key[environment_key]
    alive = _processes(processes, minutes)
    return Panel(
        streams=sum(process.streams for process in alive),
        windows=sum(process.windows for process in alive),
        processes=alive,
        events=_events(environment_key, limit, processes),
        history=_history(processes, minutes),
        streams_of={
            key: sum(each.streams for each in _processes(processes, minutes_by_key[key])) for key in other_keys
        },
    )


@dataclass(frozen=True, slots=True)
class _ProcessRow:
    """The row of a process that is running or has ended."""

    row: InspectedProcess
    served_until: datetime | None
    """None if it is running."""

    def serves_at(self, moment: datetime) -> bool:
        return self.row.started_at < moment and (self.served_until is None or self.served_until >= moment)


Minutes = Mapping[int, list[InspectedMinute]]
"""An environment's rows by process, the oldest first."""


def _read_processes() -> dict[int, _ProcessRow]:
    rows = InspectedProcess.objects.annotate(now=Now()).order_by("host", "pid", "id")
    processes = {}
    for row in rows:
        is_dead = row.now - row.seen_at > DEAD_AFTER
        processes[row.pk] = _ProcessRow(row, row.ended_at or (row.seen_at if is_dead else None))
    return processes


def _read_minutes(keys: Collection[str]) -> Mapping[str, Minutes]:
    rows = InspectedMinute.objects.filter(environment__in=keys, minute__gte=minute_of(timezone.now()) - LOOKBACK)
    by_key: dict[str, dict[int, list[InspectedMinute]]] = {key: defaultdict(list) for key in keys}
    for row in rows.order_by("minute"):
        by_key[row.environment][row.process].append(row)
    return by_key


def _processes(processes: Mapping[int, _ProcessRow], minutes: Minutes) -> tuple[Process, ...]:
    return tuple(
        Process(
            id=pk,
            host=process.row.host,
            pid=process.row.pid,
            started_at=process.row.started_at,
            seen_at=process.row.seen_at,
            streams=minutes[pk][-1].streams if pk in minutes else 0,
            windows=minutes[pk][-1].windows if pk in minutes else 0,
        )
        for pk, process in processes.items()
        if process.served_until is None
    )


def _events(key: str, limit: int, processes: Mapping[int, _ProcessRow]) -> tuple[Event, ...]:
    rows = InspectedEvent.objects.filter(environment=key)
    newest = rows.order_by("-updated_at").values("updated_at").distinct()[:limit]
    found = rows.filter(updated_at__in=newest).order_by("-updated_at", "id")
    return tuple(_event(list(of_one), processes) for _, of_one in groupby(found, attrgetter("updated_at")))


def _event(rows: list[InspectedEvent], processes: Mapping[int, _ProcessRow]) -> Event:
    times = Durations()
    for row in rows:
        times.add_stored(row.times)
    updated_at = rows[0].updated_at
    committed_at = min((row.committed_at for row in rows if row.committed_at is not None), default=None)
    written_at = min((row.written_at for row in rows if row.written_at is not None), default=None)
    return Event(
        updated_at=updated_at,
        at=written_at or committed_at or rows[0].noted_at,
        committed_at=committed_at,
        written=sum(row.written for row in rows),
        superseded=sum(row.superseded for row in rows),
        healed=any(row.healed for row in rows),
        p50_ms=times.percentile(50),
        p99_ms=times.percentile(99),
        processes=_shares(rows, processes),
    )


def _shares(rows: Iterable[InspectedEvent], processes: Mapping[int, _ProcessRow]) -> tuple[Share, ...]:
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
        for pk, process in processes.items()
        if pk in by_process
    )


def _history(processes: Mapping[int, _ProcessRow], minutes: Minutes) -> tuple[Minute, ...]:
    now = timezone.now()
    return tuple(
        _minute(minute_of(now) - MINUTE * ago, now, processes, minutes) for ago in range(HISTORY_MINUTES - 1, -1, -1)
    )


def _minute(begins_at: datetime, now: datetime, processes: Mapping[int, _ProcessRow], minutes: Minutes) -> Minute:
    ends_at = min(begins_at + MINUTE, now)
    streams = 0
    rows = []
    for pk, of_process in minutes.items():
        number_before = bisect_right(of_process, begins_at, key=attrgetter("minute"))
        if not number_before:
            continue
        row = of_process[number_before - 1]
        if pk in processes and processes[pk].serves_at(ends_at):
            streams += row.streams
        if row.minute == begins_at:
            rows.append(row)
    times = Durations()
    for row in rows:
        times.add_stored(row.times)
    return Minute(
        begins_at=begins_at,
        streams=streams,
        # Every process with a stream counts all events as ``delivered``. Only the process that commits an event counts
        # it as ``published``, unless that process serves no streams. So the maximum is the best number.
        events=max(sum(row.published for row in rows), *(row.delivered for row in rows), 0),
        written=sum(row.written for row in rows),
        superseded=sum(row.superseded for row in rows),
        p50_ms=times.percentile(50),
        p99_ms=times.percentile(99),
    )
