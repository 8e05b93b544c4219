"""Sums of percentage allocations."""

from collections.abc import Iterable


def exceed_100(percentages: Iterable[float]) -> bool:
    """Whether the sum is more than 100 %. Rounding errors of floats are ignored."""
    return round(sum(percentages), 6) > 100
