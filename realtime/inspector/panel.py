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
from typing import Any

from django.db.models import Case, F, When
from django.db.models.functions import Coalesce, Now
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


Processes = Mapping[int, Any]

Minutes = Mapping[int, list[InspectedMinute]]
"""An environment's rows by process, the oldest first."""


def _read_processes() -> Processes:
    """The rows by primary key, with ``served_until``: the time of their end, or None if they are running."""
    last_sign = Case(When(seen_at__lt=Now() - DEAD_AFTER, then=F("seen_at")))
    rows = InspectedProcess.objects.annotate(served_until=Coalesce("ended_at", last_sign))
    return {row.pk: row for row in rows.order_by("host", "pid", "id")}


def _read_minutes(keys: Collection[str]) -> Mapping[str, Minutes]:
    rows = InspectedMinute.objects.filter(environment__in=keys, minute__gte=minute_of(timezone.now()) - LOOKBACK)
    by_key: dict[str, dict[int, list[InspectedMinute]]] = {key: defaultdict(list) for key in keys}
    for row in rows.order_by("minute"):
        by_key[row.environment][row.process].append(row)
    return by_key


def _processes(processes: Processes, minutes: Minutes) -> tuple[Process, ...]:
    return tuple(
        Process(
            id=pk,
            host=process.host,
            pid=process.pid,
            started_at=process.started_at,
            seen_at=process.seen_at,
            streams=minutes[pk][-1].streams if pk in minutes else 0,
            windows=minutes[pk][-1].windows if pk in minutes else 0,
        )
        for pk, process in processes.items()
        if process.served_until is None
    )


def _events(key: str, limit: int, processes: Processes) -> tuple[Event, ...]:
    rows = InspectedEvent.objects.filter(environment=key)
    newest = rows.order_by("-updated_at").values("updated_at").distinct()[:limit]
    found = rows.filter(updated_at__in=newest).order_by("-updated_at", "id")
    return tuple(_event(list(of_one), processes) for _, of_one in groupby(found, attrgetter("updated_at")))


def _event(rows: list[InspectedEvent], processes: Processes) -> Event:
    committed_at = min((row.committed_at for row in rows if row.committed_at is not None), default=None)
    written_at = min((row.written_at for row in rows if row.written_at is not None), default=None)
    by_process = defaultdict(list)
    for row in rows:
        by_process[row.process].append(row)
    return Event(
        updated_at=rows[0].updated_at,
        at=written_at or committed_at or rows[0].noted_at,
        committed_at=committed_at,
        healed=any(row.healed for row in rows),
        **_sums(rows),
        **_latency(rows),
        processes=tuple(
            Share(
                process=pk,
                host=process.host,
                pid=process.pid,
                healed=any(row.healed for row in by_process[pk]),
                **_sums(by_process[pk]),
            )
            for pk, process in processes.items()
            if pk in by_process
        ),
    )


Rows = Iterable[InspectedEvent | InspectedMinute]


def _sums(rows: Rows) -> dict[str, int]:
    return {name: sum(getattr(row, name) for row in rows) for name in ("written", "superseded")}


def _latency(rows: Rows) -> dict[str, Any]:
    times = Durations()
    for row in rows:
        times.add_stored(row.times)
    return {"p50_ms": times.percentile(50), "p99_ms": times.percentile(99)}


def _history(processes: Processes, minutes: Minutes) -> tuple[Minute, ...]:
    now = timezone.now()
    return tuple(
        _minute(minute_of(now) - MINUTE * ago, now, processes, minutes) for ago in range(HISTORY_MINUTES - 1, -1, -1)
    )


def _minute(begins_at: datetime, now: datetime, processes: Processes, minutes: Minutes) -> Minute:
    ends_at = min(begins_at + MINUTE, now)
    streams = 0
    rows = []
    for pk, of_process in minutes.items():
        number_before = bisect_right(of_process, begins_at, key=attrgetter("minute"))
        if not number_before:
            continue
        row = of_process[number_before - 1]
        process = processes.get(pk)
        if process and process.started_at < ends_at and (not process.served_until or process.served_until >= ends_at):
            streams += row.streams
        if row.minute == begins_at:
            rows.append(row)
    return Minute(
        begins_at=begins_at,
        streams=streams,
        # Every process with a stream counts all events as ``delivered``. Only the process that commits an event counts
        # it as ``published``, unless that process serves no streams. So the maximum is the best number.
        events=max(sum(row.published for row in rows), *(row.delivered for row in rows), 0),
        **_sums(rows),
        **_latency(rows),
    )
