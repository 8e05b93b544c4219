"""Shares of the identities, in percent."""

from collections.abc import Iterable


def exceed_whole(percentages: Iterable[float]) -> bool:
    """Whether these are more than everybody. Floats that only add up to a hair more than 100 are not."""
    return round(sum(percentages), 6) > 100
