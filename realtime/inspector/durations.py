"""A histogram of durations: constant size, can be merged across processes, and gives percentiles.

A duration counts in the bucket of its logarithm, and bucket bounds are 1 % apart. So a percentile is exact to 0.5 %,
however many durations there are.
"""

from collections import Counter
from collections.abc import Mapping
from math import log

BASE = 1.01
MIN_MS = 0.01

# The number of points by which the writes of one event to very many streams are approximated, evenly spaced between the
# first and the last write.
POINTS = 20

_SCALE = 1 / log(BASE)


class Durations(Counter[int]):
    """Durations in milliseconds: the numbers of durations by bucket. ``update`` adds those of another histogram."""

    def add(self, milliseconds: float, number: int = 1) -> None:
        """Add a duration ``number`` times. A negative one (another machine's clock is ahead) counts as the minimum."""
        self[round(log(max(milliseconds, MIN_MS)) * _SCALE)] += number

    def add_range(self, first: float, last: float, number: int) -> None:
        """Add ``number`` durations, evenly spaced between these two."""
        points = min(number, POINTS)
        each, rest = divmod(number, points)
        for point in range(points):
            self.add(first + (last - first) * (point + 0.5) / points, each + (point < rest))

    def add_stored(self, stored: Mapping[str, int]) -> None:
        """Add durations that were read from a ``JSONField``, whose keys are text."""
        self.update({int(bucket): number for bucket, number in stored.items()})

    def percentile(self, percent: float) -> float | None:
        """The duration that this percentage of all durations does not exceed; None without durations."""
        threshold = self.total() * percent / 100
        below = 0
        for bucket in sorted(self):
            below += self[bucket]
            if below >= threshold:
                return float(BASE**bucket)
        return None
