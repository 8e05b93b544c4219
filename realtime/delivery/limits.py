"""Stream limits per process, address and environment.

A stream over a limit gets a 200 response that carries only a comment with the reason. Any other status would stop one
SDK for good and make two of them retry without a pause (docs/wire-protocol.md). So a rejected stream stays open for
half a minute (``conf.SHORT_STREAM_SECONDS``). It is in no topic and costs no database read, but it uses an open file.
If there are too many rejected streams, the next one gets the comment and ends at once.
"""

import asyncio
import random
import resource
from collections import Counter
from collections.abc import Callable
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
    from realtime.delivery.hub import Hub
    from realtime.delivery.stream import Stream

logger = structlog.get_logger(__name__)

Kind = Literal["address", "environment", "process", "rate"]

REASONS = {
    "address": piece(sse.comment("this address has too many streams; nothing will be sent on this one")),
    "environment": piece(sse.comment("this environment has too many streams; nothing will be sent on this one")),
    "process": piece(sse.comment("this server has too many streams; nothing will be sent on this one")),
    "rate": piece(sse.comment("too many streams begin at the moment; nothing will be sent on this one")),
}

# Open files kept free for requests, database connections, listening sockets and logs: a tenth of the limit, between
# these two numbers, and at most half of it.
MIN_RESERVED_FILES, MAX_RESERVED_FILES = 100, 2_000

# The fraction of the other open files for rejected streams.
REJECTED_FRACTION = 0.1

# The shortest age of a stream rejected by its rate, as a fraction of the longest: it will be admitted soon.
MIN_RATE_FRACTION = 0.2

LOG_SECONDS = 60.0


@cache
def capacity() -> tuple[int, int]:
    """The number of streams of this process, and of rejected streams in addition. Cached: each new stream needs it."""
    admitted, rejected = max_streams(open_files())
    return min(admitted, conf.MAX_STREAMS or admitted), rejected


@receiver(setting_changed)
def _clear_capacity(**kwargs: Any) -> None:
    capacity.cache_clear()


def counts_addresses() -> bool:
    """True if a limit depends on the client's address."""
    return bool(conf.MAX_STREAMS_PER_ADDRESS or conf.MAX_NEW_STREAMS_PER_SECOND_PER_ADDRESS)


def open_files() -> int:
    """The number of files that this process may have open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return files if files != resource.RLIM_INFINITY else 2**31


def max_streams(files: int) -> tuple[int, int]:
    """The number of streams, and of rejected streams in addition, that this number of open files allows."""
    reserve = min(max(files // 10, MIN_RESERVED_FILES), MAX_RESERVED_FILES, files // 2)
    rejected = int((files - reserve) * REJECTED_FRACTION)
    return files - reserve - rejected, rejected


class RejectedStreams:
    """The rejected streams of a process. It has the interface of a ``Topic``, and delivers nothing.

    A stream is counted here until its connection ends, because it uses an open file until then.
    """

    key = EnvironmentKey("")
    is_closed = False

    def __init__(self, hub: "Hub") -> None:
        self.hub = hub
        self.subscribers: set[Stream] = set()
        self.windows: set[Stream] = set()
        """Empty: a rejected window is in ``subscribers``, like the other rejected streams."""

    @property
    def is_full(self) -> bool:
        return len(self.subscribers) >= capacity()[1]

    def add(self, subscriber: "Stream") -> None:
        self.subscribers.add(subscriber)
        metrics.streams_held.set(len(self.subscribers))

    def request_state(self, subscriber: "Stream") -> None:
        """Do nothing: the stream has already sent the reason."""

    def unsubscribe(self, subscriber: "Stream") -> None:
        """Do nothing: nothing is delivered to it anyway."""

    def remove(self, subscriber: "Stream", address: str | None) -> None:
        self.subscribers.discard(subscriber)
        metrics.streams_held.set(len(self.subscribers))


class Limits:
    """The counters of one process. All methods must be called in the event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.admitted = 0
        self.addresses: dict[str, int] = {}
        """The number of open streams by address, if addresses are counted."""
        self._rates = TokenBuckets(loop.time)
        self._address_rates = TokenBuckets(loop.time)
        self._log = LimitLog(loop)

    def check(self, address: str | None, in_environment: int) -> Kind | None:
        """The limit that one more stream would exceed, or None. It takes a token of each rate that it passes.

        ``address``: the client's, if addresses are counted. ``in_environment``: the environment's number of streams.
        """
        limit: Kind | None = None
        per_address, per_environment = conf.MAX_STREAMS_PER_ADDRESS, conf.MAX_STREAMS_PER_ENVIRONMENT
        if self.admitted >= capacity()[0]:
            limit = "process"
        elif address is not None and per_address and self.addresses.get(address, 0) >= per_address:
            limit = "address"
        elif per_environment and in_environment >= per_environment:
            limit = "environment"
        elif self._is_too_fast(address):
            limit = "rate"
        if limit is not None:
            metrics.limits_hit[limit].add()
            self._log.count(limit)
        return limit

    def admit(self, address: str | None) -> None:
        """Count an opened stream."""
        self.admitted += 1
        if address is not None:
            self.addresses[address] = self.addresses.get(address, 0) + 1

    def release(self, address: str | None) -> None:
        """Stop counting a stream whose connection has ended. ``address`` as for ``admit``."""
        self.admitted -= 1
        if address is not None:
            self.addresses[address] -= 1
            if not self.addresses[address]:
                del self.addresses[address]

    def _is_too_fast(self, address: str | None) -> bool:
        # The size of a burst: what the rate allows in this time may open at once.
        burst_seconds = conf.SHORT_STREAM_SECONDS
        rate, address_rate = conf.MAX_NEW_STREAMS_PER_SECOND, conf.MAX_NEW_STREAMS_PER_SECOND_PER_ADDRESS
        if address is not None and address_rate and not self._address_rates.take(address, address_rate, burst_seconds):
            return True
        return bool(rate) and not self._rates.take("", rate, burst_seconds)


class TokenBuckets:
    """Token buckets of one rate, by name. Each is one number: the time at which it is full again.

    A bucket that was not used for ``burst_seconds`` is full, so it need not be stored. Buckets are stored in two
    generations: a used bucket moves into the young one, and the old one is dropped after each ``burst_seconds``.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._young: dict[str, float] = {}
        self._old: dict[str, float] = {}
        self._rotated_at = clock()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def take(self, name: str, rate: float, burst_seconds: float) -> bool:
        """Take a token from the bucket of this name. Returns False if the bucket is empty."""
        now = self._clock()
        self._rotate(now, max(burst_seconds, 1 / rate))
        full_at = self._young.get(name) or self._old.pop(name, now)
        taken = full_at <= now + burst_seconds
        self._young[name] = max(full_at, now) + 1 / rate if taken else full_at
        return taken

    def _rotate(self, now: float, seconds: float) -> None:
        if now >= self._rotated_at + seconds:
            self._old = self._young if now < self._rotated_at + 2 * seconds else {}
            self._young, self._rotated_at = {}, now


class LimitLog:
    """Logs streams over a limit: at most one line per limit and minute."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._counts: Counter[Kind] = Counter()
        self._quiet: set[Kind] = set()

    def count(self, kind: Kind) -> None:
        self._counts[kind] += 1
        if kind not in self._quiet:
            self._write(kind)

    def _write(self, kind: Kind) -> None:
        """Log the number of rejected streams since the last line, if there are any."""
        streams = self._counts.pop(kind, 0)
        if not streams:
            self._quiet.discard(kind)
            return
        logger.warning("limit_reached", limit=kind, streams=streams)
        self._quiet.add(kind)
        self._loop.call_later(LOG_SECONDS, self._write, kind)


def rejected_stream_age(kind: Kind) -> float:
    """A random age for a rejected stream, as a fraction of ``conf.SHORT_STREAM_SECONDS``."""
    return random.uniform(MIN_RATE_FRACTION if kind == "rate" else 0.8, 1.0)  # noqa: S311
