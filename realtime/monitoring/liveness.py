"""Liveness check: 200 only while the event loop, the bus listener, the reconcile and the threads make progress.

Each part reports its progress. A part without progress for ``REALTIME_WEDGED_SECONDS`` is wedged, and the process has
to be restarted. A failed attempt counts as progress if it is followed by another one, so an unavailable database or
Redis does not fail the check.

Time counts only while the event loop runs. So no part looks wedged after the process was stopped and continued, or
after the loop was blocked. A loop that is still blocked cannot answer the check: ``watchdog.py`` logs its stack, and
the server's other processes report it (``OtherProcesses``).
"""

import asyncio
from collections.abc import Callable
from weakref import WeakSet

import structlog

from realtime import runtime
from realtime.conf import conf
from realtime.monitoring import metrics
from realtime.monitoring.shared_counters import counters

logger = structlog.get_logger(__name__)

TICK_SECONDS = 1.0

# The most that the parts' time advances between two ticks.
MAX_TICK_SECONDS = 2.0


class Part:
    """A part of the process that has to make progress. The methods may be called in any thread."""

    def __init__(self, pulse: "Pulse", name: str, pause: Callable[[], float]) -> None:
        self.name = name
        self._pulse = pulse
        self._pause = pause
        self._since: float | None = pulse.now

    def progress(self) -> None:
        """Report progress, and that more is to be expected."""
        self._since = self._pulse.now

    def rest(self) -> None:
        """Report that the part has nothing to do, so that no progress is expected."""
        self._since = None

    @property
    def stalled_seconds(self) -> float:
        """Seconds without progress, less the part's own pause. 0 if no progress is expected."""
        since = self._since
        return 0.0 if since is None else max(0.0, self._pulse.now - since - self._pause())


class OtherProcesses:
    """The other processes of the same server, each with the time since its tick counter last changed.

    A probe reaches only one of the processes, so each reports the others too.
    """

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float]] = {}

    def update(self, now: float) -> None:
        """Compare the tick counters with those of the last call. ``now`` is ``Pulse.now`` of this process."""
        seen = {}
        for file, count in counters.of_others(metrics.ticks.name).items():
            # A count of 0 is no stall: the process has not started its loop yet, or has ended it.
            before = self._seen.get(file)
            seen[file] = before if before is not None and before[0] == count and count else (count, now)
        self._seen = seen

    def stalled_seconds(self, now: float) -> dict[str, float]:
        """The seconds since the last progress of each process, by name."""
        return {f"process {file}": now - at for file, (_, at) in self._seen.items()}


class Pulse:
    """The progress of one event loop and its parts, updated by a tick once a second."""

    def __init__(self) -> None:
        self.now = 0.0
        """Seconds for which the loop has run, without the time for which it was blocked."""
        self.ticks = 0
        self._loop = loop = asyncio.get_running_loop()
        self._parts: WeakSet[Part] = WeakSet()
        self._other_processes = OtherProcesses()
        self._reported: set[str] = set()
        self._callbacks: list[Callable[[], None]] = []
        self._ticked_at = loop.time()
        # The first tick follows once the caller has registered its parts and callbacks.
        self._timer: asyncio.Handle = loop.call_soon(self._tick)
        runtime.current().on_close(self._close)

    def part(self, name: str, pause: Callable[[], float] = lambda: 0.0) -> Part:
        """Register a part. The caller must keep a reference to it. ``pause``: its regular pause in seconds."""
        part = Part(self, name, pause)
        self._parts.add(part)
        return part

    def call_every_second(self, callback: Callable[[], None]) -> None:
        """Call this function about once a second, in the event loop. It must not block."""
        self._callbacks.append(callback)

    def problems(self) -> dict[str, str]:
        """The problem of each wedged part, by name."""
        longest: dict[str, float] = {}
        for part in self._parts:
            longest[part.name] = max(part.stalled_seconds, longest.get(part.name, 0.0))
        longest |= self._other_processes.stalled_seconds(self.now)
        limit = conf.WEDGED_SECONDS
        return {name: f"no progress for {seconds:.0f} s" for name, seconds in longest.items() if seconds >= limit}

    async def _close(self) -> None:
        self._timer.cancel()
        metrics.ticks.set(0)

    def _tick(self) -> None:
        now = self._loop.time()
        self.now += min(now - self._ticked_at, MAX_TICK_SECONDS)
        self._ticked_at = now
        self.ticks += 1
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)
        metrics.processes.set(1)
        metrics.ticks.set(self.ticks)
        for callback in self._callbacks:
            callback()
        self._other_processes.update(self.now)
        self._report(self.problems())

    def _report(self, problems: dict[str, str]) -> None:
        for name in sorted(problems.keys() - self._reported):
            logger.error("wedged", part=name, problem=problems[name])
        for name in sorted(self._reported - problems.keys()):
            logger.warning("no_longer_wedged", part=name)
        self._reported = set(problems)
        metrics.wedged.set(len(problems))


def current() -> Pulse:
    """The pulse of the running event loop. The first call starts it."""
    return runtime.current().get(Pulse)
