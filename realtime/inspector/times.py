"""How long things took: very many durations in little room, which can be added up.

A duration counts in the bucket of its logarithm, and buckets are a hundredth apart. So a percentile is right to half a
percent, however many durations there are and whichever process has measured them.
"""

from collections.abc import Mapping
from math import log

APART = 1.01
LEAST_MS = 0.01

# The writes of one event to very many streams are taken to be evenly spread between the first and the last.
POINTS = 20

_SCALE = 1 / log(APART)


class Times:
    """Durations in milliseconds."""

    def __init__(self, kept: Mapping[str, int] | None = None) -> None:
        self._buckets: dict[int, int] = {}
        if kept:
            self.add_kept(kept)

    def add(self, milliseconds: float, number: int = 1) -> None:
        """So many of this duration. Less than nothing (another machine's clock is ahead) is nothing."""
        self._put(round(log(max(milliseconds, LEAST_MS)) * _SCALE), number)

    def spread(self, first: float, last: float, number: int) -> None:
        """So many from the first to the last."""
        points = min(number, POINTS)
        each, rest = divmod(number, points)
        for point in range(points):
            self.add(first + (last - first) * (point + 0.5) / points, each + (point < rest))

    def merge(self, others: "Times") -> None:
        for bucket, number in others._buckets.items():
            self._put(bucket, number)

    def add_kept(self, kept: Mapping[str, int]) -> None:
        """Others, as ``kept`` has given them."""
        for bucket, number in kept.items():
            self._put(int(bucket), number)

    def kept(self) -> dict[str, int]:
        """For a column of JSON."""
        return {str(bucket): number for bucket, number in self._buckets.items()}

    def percentile(self, percent: float) -> float | None:
        """The duration that so many per cent do not exceed; None where there are none."""
        least = sum(self._buckets.values()) * percent / 100
        below = 0
        for bucket in sorted(self._buckets):
            below += self._buckets[bucket]
            if below >= least:
                return float(APART**bucket)
        return None

    def _put(self, bucket: int, number: int) -> None:
        self._buckets[bucket] = self._buckets.get(bucket, 0) + number
