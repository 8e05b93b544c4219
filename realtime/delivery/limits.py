"""Stream limits per process, address and environment. A stream over a limit gets a 200 response with only the reason.

Another status would stop one SDK for good and make two of them try again without a pause (docs/wire-protocol.md). So a
rejected stream is held open for half a minute (``conf.SHORT_STREAM_SECONDS``), in no topic, and costs no read of the
database. Rejected streams take open files, too; if there are too many of them, one more gets the reason and ends at
once.
"""

import asyncio
import random
import resource
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Literal

import structlog
from django.core.signals import setting_changed
from django.dispatch import receiver

from realtime.conf import conf
from realtime.delivery import sse
from realtime.delivery.sinks import piece
from realtime.monitoring import metrics
from realtime.types import EnvironmentKey

if TYPE_CHECKING:
    from realtime.delivery.hub import Hub, Subscriber

logger = structlog.get_logger(__name__)

Kind = Literal["address", "environment", "process", "rate"]

REASONS = {
    "address": piece(sse.comment("this address has too many streams; nothing will be sent on this one")),
    "environment": piece(sse.comment("this environment has too many streams; nothing will be sent on this one")),
    "process": piece(sse.comment("this server has too many streams; nothing will be sent on this one")),
    "rate": piece(sse.comment("too many streams begin at the moment; nothing will be sent on this one")),
}

# Open files that no stream takes: a tenth, between these, and never more than half. Requests and their connections,
# the database's, the listening socket, logs.
LEAST_RESERVE, MOST_RESERVE = 100, 2_000

# Of the open files that are left, the part for rejected streams.
REJECTED_PART = 0.1

# The shortest age of a stream that only came too fast, as a part of the longest: there is room for it soon.
SOON = 0.2

LOG_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """The settings, computed. 0: no such limit."""

    process: int
    rejected: int
    environment: int
    address: int
    rate: float
    """New streams a second."""
    address_rate: float
    burst_seconds: float
    """So many seconds of a rate may come at once."""

    @property
    def counts_addresses(self) -> bool:
        return bool(self.address or self.address_rate)


@cache
def bounds() -> Bounds:
    """Computed once: a stream that opens would have to read six settings."""
    most, rejected = most_streams(open_files())
    return Bounds(
        process=min(most, conf.MAX_STREAMS) if conf.MAX_STREAMS else most,
        rejected=rejected,
        environment=conf.MAX_STREAMS_PER_ENVIRONMENT,
        address=conf.MAX_STREAMS_PER_ADDRESS,
        rate=conf.MAX_NEW_STREAMS_PER_SECOND,
        address_rate=conf.MAX_NEW_STREAMS_PER_SECOND_PER_ADDRESS,
        burst_seconds=conf.SHORT_STREAM_SECONDS,
    )


@receiver(setting_changed)
def _forget(**kwargs: Any) -> None:
    bounds.cache_clear()


def open_files() -> int:
    """How many files this process may have open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return files if files != resource.RLIM_INFINITY else 2**31


def most_streams(files: int) -> tuple[int, int]:
    """The number of streams, and of rejected ones beside them, that fit into so many open files."""
    reserve = min(max(files // 10, LEAST_RESERVE), MOST_RESERVE, files // 2)
    rejected = int((files - reserve) * REJECTED_PART)
    return files - reserve - rejected, rejected


class Rejected:
    """The rejected streams of a process: a null ``Topic``, to which nothing is delivered.

    A stream stays here until its connection ends, because it takes an open file until then.
    """

    key = EnvironmentKey("")
    is_closed = False

    def __init__(self, hub: "Hub") -> None:
        self.hub = hub
        self.subscribers: set[Subscriber] = set()

    @property
    def is_full(self) -> bool:
        return len(self.subscribers) >= bounds().rejected

    def add(self, subscriber: "Subscriber") -> None:
        self.subscribers.add(subscriber)
        metrics.streams_held.set(len(self.subscribers))

    def ask_for(self, subscriber: "Subscriber") -> None:
        """Read nothing: the stream has got the reason already."""

    def leave(self, subscriber: "Subscriber") -> None:
        """Nothing is delivered to it in any case."""

    def remove(self, subscriber: "Subscriber", address: str | None) -> None:
        self.subscribers.discard(subscriber)
        metrics.streams_held.set(len(self.subscribers))


class Limits:
    """The counters of one process. Everything here runs in the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.admitted = 0
        self.addresses: dict[str, int] = {}
        """Those that have streams open, with how many; while they are counted."""
        self._rates = Rates(loop.time)
        self._log = Log(loop)

    def met(self, address: str | None, in_environment: int) -> Kind | None:
        """The limit that one more stream would break: of an environment with so many, by this address if addresses are
        counted. A stream that may open takes its place in the rates.
        """
        most = bounds()
        met: Kind | None = None
        if self.admitted >= most.process:
            met = "process"
        elif address is not None and most.address and self.addresses.get(address, 0) >= most.address:
            met = "address"
        elif most.environment and in_environment >= most.environment:
            met = "environment"
        elif self._is_too_fast(address, most):
            met = "rate"
        if met is not None:
            metrics.limit_hit(met)
            self._log.count(met)
        return met

    def admit(self, address: str | None) -> None:
        """Count a stream that has opened."""
        self.admitted += 1
        if address is not None:
            self.addresses[address] = self.addresses.get(address, 0) + 1

    def release(self, address: str | None) -> None:
        """Its connection has ended. ``address`` as for ``admit``."""
        self.admitted -= 1
        if address is not None:
            self.addresses[address] -= 1
            if not self.addresses[address]:
                del self.addresses[address]

    def _is_too_fast(self, address: str | None, most: Bounds) -> bool:
        rates, burst_seconds = self._rates, most.burst_seconds
        if address is not None and most.address_rate and not rates.take(address, most.address_rate, burst_seconds):
            return True
        return bool(most.rate) and not rates.take_of_all(most.rate, burst_seconds)


class Rates:
    """Token buckets, each one number: the time at which it will be full again.

    A bucket that nobody has used for a burst's seconds is full, so it need not be kept. There are two generations: what
    is used moves into the younger one, and as often as that the older one is forgotten.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._all = 0.0
        self._young: dict[str, float] = {}
        self._old: dict[str, float] = {}
        self._turned_at = clock()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def take(self, name: str, rate: float, burst_seconds: float) -> bool:
        """Take a token of this name's bucket; False: it is empty."""
        now = self._clock()
        self._turn(now, max(burst_seconds, 1 / rate))
        full_at = self._young.get(name) or self._old.pop(name, now)
        taken = full_at <= now + burst_seconds
        self._young[name] = max(full_at, now) + 1 / rate if taken else full_at
        return taken

    def _turn(self, now: float, seconds: float) -> None:
        if now >= self._turned_at + seconds:
            self._old = self._young if now < self._turned_at + 2 * seconds else {}
            self._young, self._turned_at = {}, now

    def take_of_all(self, rate: float, burst_seconds: float) -> bool:
        """The same of the one bucket that all share."""
        now = self._clock()
        taken = self._all <= now + burst_seconds
        if taken:
            self._all = max(self._all, now) + 1 / rate
        return taken


class Log:
    """One line for a limit and a minute at most."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._counts: Counter[Kind] = Counter()
        self._quiet: set[Kind] = set()

    def count(self, kind: Kind) -> None:
        self._counts[kind] += 1
        if kind not in self._quiet:
            self._tell(kind)

    def _tell(self, kind: Kind) -> None:
        """Tell of those that have met the limit since the last line, if there are any."""
        streams = self._counts.pop(kind, 0)
        if not streams:
            self._quiet.discard(kind)
            return
        logger.warning("limit_reached", limit=kind, streams=streams)
        self._quiet.add(kind)
        self._loop.call_later(LOG_SECONDS, self._tell, kind)


def age(kind: Kind) -> float:
    """The age of a stream that has met this limit, as a part of ``conf.SHORT_STREAM_SECONDS``: a random fifth less,
    and less still where there may be room for it soon.
    """
    return random.uniform(SOON if kind == "rate" else 0.8, 1.0)  # noqa: S311
