"""How long to take over telling an environment's streams of one event, so that their refetches do not come as one herd.

By default no time at all: an event is there within milliseconds, and the refetches that follow are what the read path
is made for. An API that cannot answer them all at once gets them spread: over a fixed window, or over one that is as
long as this process has turned out to need for so many.
"""

import time

from realtime.conf import conf

# Nobody waits longer for an event, however many there are.
MOST_SECONDS = 30.0

# Below this a window spreads nothing: refetches queue as long by themselves.
LEAST_SECONDS = 0.2

# What a process answers in a second, until it has had to show. A plain Django view does a tenth.
ASSUMED_RATE = 1_000.0

# A rate counts half after so long: what was true under another load or release is forgotten.
HALF_LIFE_SECONDS = 600.0


class Refetches:
    """What this process answers to SDKs: the most in one second, lately."""

    def __init__(self) -> None:
        self._rate = 0.0
        self._rated_at = 0.0
        self._second = 0
        self._answered = 0

    def answered(self, number: int = 1) -> None:
        """So many more. To be called in the event loop."""
        second = int(time.monotonic())
        if second != self._second:
            self._close()
            self._second = second
        self._answered += number

    @property
    def rate(self) -> float:
        """Answers a second."""
        faded: float = self._rate * 0.5 ** ((time.monotonic() - self._rated_at) / HALF_LIFE_SECONDS)
        return max(faded, ASSUMED_RATE)

    def _close(self) -> None:
        answered, self._answered = self._answered, 0
        if answered > self.rate:
            self._rate, self._rated_at = float(answered), time.monotonic()


refetches = Refetches()
"""This process's. An API in the same process says so; without it the assumption counts."""


def window(subscribers: int) -> float:
    """Seconds over which to tell so many."""
    if not conf.SPREAD_AUTOMATICALLY:
        return conf.SPREAD_SECONDS
    seconds = min(MOST_SECONDS, subscribers / refetches.rate)
    return seconds if seconds >= LEAST_SECONDS else 0.0
