"""Percentiles of the duration histogram."""

import json

import pytest

from realtime.inspector.durations import Durations


def test_percentile__single_durations__exact_to_half_a_percent() -> None:
    times = Durations()
    for milliseconds in range(1, 1_001):
        times.add(milliseconds)
    assert times.percentile(50) == pytest.approx(500, rel=0.006)
    assert times.percentile(99) == pytest.approx(990, rel=0.006)
    stored = Durations()
    stored.add_stored(json.loads(json.dumps(times)))
    assert stored == times


@pytest.mark.parametrize(("number", "p50", "p99"), [(1, 25, 25), (2, 17.5, 32.5), (7, 25, 37.9), (10_000, 25, 39.25)])
def test_percentile__range__evenly_spaced(number: int, p50: float, p99: float) -> None:
    times = Durations()
    times.add_range(10, 40, number)
    assert times.percentile(50) == pytest.approx(p50, rel=0.06)
    assert times.percentile(99) == pytest.approx(p99, rel=0.03)
    assert times.total() == number


def test_percentile__merged_histograms__weighted_by_their_counts() -> None:
    merged, one = Durations(), Durations()
    one.add(5, 99)
    merged.add(-3)
    merged.update(one)
    assert merged.percentile(50) == pytest.approx(5, rel=0.006)
    assert merged.percentile(1) == pytest.approx(0.01, rel=0.006)
    assert Durations().percentile(50) is None
