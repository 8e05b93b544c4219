"""Whether this process makes progress, for ``/health/liveness``: a health check that says 200 must not lie.

Each part that has to get on (the bus's listener, the reconcile, the threads that read) says so as it does. One that
has not for ``REALTIME_WEDGED_SECONDS`` is wedged: nothing but a new process helps. To fail and to try again is
progress, so that a database or a Redis that is away is no wedge.

Time counts only while the event loop runs. So neither a process that was stopped and continued, nor a loop that was
held up, finds all its parts wedged when it goes on. A loop that *is* held up answers nothing at all; ``watchdog.py``
says where it is, and the server's other processes say that there is one (``Siblings``).
"""

import asyncio
from collections.abc import Callable
from weakref import WeakKeyDictionary, WeakSet

import structlog

from realtime.conf import conf
from realtime.monitoring import metrics
from realtime.monitoring.figures import figures

logger = structlog.get_logger(__name__)

TICK_SECONDS = 1.0

# What two ticks are apart at most, as far as parts' time goes.
MOST_SECONDS = 2.0

Sample = Callable[[], None]


class Part:
    """Something that has to get on. To be told of from any thread."""

    def __init__(self, pulse: "Pulse", name: str, pause: Callable[[], float]) -> None:
        self.name = name
        self._pulse = pulse
        self._pause = pause
        self._since: float | None = pulse.now

    def progress(self) -> None:
        """It got on, and will again."""
        self._since = self._pulse.now

    def rest(self) -> None:
        """It has nothing to do, so nothing is expected of it."""
        self._since = None

    @property
    def stands_still(self) -> float:
        """Seconds without progress, beyond those that it pauses itself. 0 where nothing is expected of it."""
        since = self._since
        return 0.0 if since is None else max(0.0, self._pulse.now - since - self._pause())


class Siblings:
    """The other processes of the same server, of which a probe reaches any: whether their pulses go on."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float]] = {}

    def look(self, now: float) -> None:
        """Compare their ticks with those of last time. ``now`` is the time of the process that looks."""
        seen = {}
        for file, count in figures.of_others(metrics.ticks.name).items():
            # 0: it has not begun yet, or has ended.
            before = self._seen.get(file)
            seen[file] = before if before is not None and before[0] == count and count else (count, now)
        self._seen = seen

    def stand_still(self, now: float) -> dict[str, float]:
        """The seconds since each was last seen to make progress, by name."""
        return {f"process {file}": now - at for file, (_, at) in self._seen.items()}


class Pulse:
    """The progress of one event loop, and of what belongs to it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.now = 0.0
        """Seconds for which the loop has run, to be compared with each other."""
        self.ticks = 0
        self._loop = loop
        self._parts: WeakSet[Part] = WeakSet()
        self._siblings = Siblings()
        self._reported: set[str] = set()
        self._samples: list[Sample] = []
        self._ticked_at = loop.time()
        # Once all is made that is looked at.
        self._timer: asyncio.Handle = loop.call_soon(self._tick)

    def part(self, name: str, pause: Callable[[], float] = lambda: 0.0) -> Part:
        """A new part, which has to be kept by whom it is part of. ``pause``: how long it waits of its own accord."""
        part = Part(self, name, pause)
        self._parts.add(part)
        return part

    def sample(self, sample: Sample) -> None:
        """Call this about once a second. It must be quick."""
        self._samples.append(sample)

    def problems(self) -> dict[str, str]:
        """What is wedged, and how. Empty: all is well."""
        longest: dict[str, float] = {}
        for part in self._parts:
            longest[part.name] = max(part.stands_still, longest.get(part.name, 0.0))
        longest |= self._siblings.stand_still(self.now)
        limit = conf.WEDGED_SECONDS
        return {name: f"no progress for {seconds:.0f} s" for name, seconds in longest.items() if seconds >= limit}

    def close(self) -> None:
        """Expect nothing more."""
        _pulses.pop(self._loop, None)
        self._timer.cancel()
        metrics.ticks.set(0)

    def _tick(self) -> None:
        now = self._loop.time()
        self.now += min(now - self._ticked_at, MOST_SECONDS)
        self._ticked_at = now
        self.ticks += 1
        self._timer = self._loop.call_later(TICK_SECONDS, self._tick)
        metrics.processes.set(1)
        metrics.ticks.set(self.ticks)
        for sample in self._samples:
            sample()
        self._siblings.look(self.now)
        self._report(self.problems())

    def _report(self, problems: dict[str, str]) -> None:
        for name in sorted(problems.keys() - self._reported):
            logger.error("wedged", part=name, problem=problems[name])
        for name in sorted(self._reported - problems.keys()):
            logger.warning("no_longer_wedged", part=name)
        self._reported = set(problems)
        metrics.wedged.set(len(problems))


_pulses: WeakKeyDictionary[asyncio.AbstractEventLoop, Pulse] = WeakKeyDictionary()


def current() -> Pulse:
    """The pulse of the running event loop."""
    return of(asyncio.get_running_loop())


def of(loop: asyncio.AbstractEventLoop) -> Pulse:
    """The pulse of this event loop, which begins with the first question."""
    pulse = _pulses.get(loop)
    if pulse is None:
        pulse = _pulses[loop] = Pulse(loop)
    return pulse
