"""Spread of an event: computes the window over which it is delivered, so that the refetches do not arrive at once.

By default the window is zero: an event is delivered within milliseconds, and the read path serves the refetches. If the
API cannot answer them at once, the window is fixed (``REALTIME_SPREAD_SECONDS``) or computed from the number of streams
and from the rate at which this process has answered reads (``REALTIME_SPREAD_AUTOMATICALLY``).
"""

import time

from realtime.conf import conf

# The longest window, however many streams there are.
MAX_SECONDS = 30.0

# A shorter window has no effect: refetches queue for as long anyway.
MIN_SECONDS = 0.2

# Reads per second that a process is assumed to answer before it has measured more. A plain Django view answers a tenth.
ASSUMED_RATE = 1_000.0

# A measured rate decays, because it may come from another load or release.
HALF_LIFE_SECONDS = 600.0


class RefetchRate:
    """The highest number of SDK reads that this process has recently answered in one second."""

    def __init__(self) -> None:
        self._rate = 0.0
        self._measured_at = 0.0
        self._second = 0
        self._answered = 0

    def add(self, number: int = 1) -> None:
        """Count answered reads. Must be called in the event loop."""
        second = int(time.monotonic())
        if second != self._second:
            self._finish_second()
            self._second = second
        self._answered += number

    @property
    def per_second(self) -> float:
        decayed: float = self._rate * 0.5 ** ((time.monotonic() - self._measured_at) / HALF_LIFE_SECONDS)
        return max(decayed, ASSUMED_RATE)

    def _finish_second(self) -> None:
        answered, self._answered = self._answered, 0
        if answered > self.per_second:
            self._rate, self._measured_at = float(answered), time.monotonic()


refetch_rate = RefetchRate()
"""The rate of this process. The API counts into it if it runs in the same process; otherwise it is the assumed one."""


def window(streams: int) -> float:
    """The number of seconds over which to deliver an event to this many streams."""
    if not conf.SPREAD_AUTOMATICALLY:
        return conf.SPREAD_SECONDS
    seconds = min(MAX_SECONDS, streams / refetch_rate.per_second)
    return seconds if seconds >= MIN_SECONDS else 0.0
