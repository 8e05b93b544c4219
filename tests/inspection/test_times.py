"""Percentiles of very many durations, kept in little room."""

import pytest

from realtime.inspector.times import Times


def test_percentile__of_single_durations__right_to_half_a_percent() -> None:
    times = Times()
    for milliseconds in range(1, 1_001):
        times.add(milliseconds)
    assert times.percentile(50) == pytest.approx(500, rel=0.006)
    assert times.percentile(99) == pytest.approx(990, rel=0.006)
    assert Times(times.kept()).percentile(99) == times.percentile(99)


@pytest.mark.parametrize(("number", "p50", "p99"), [(1, 25, 25), (2, 17.5, 32.5), (7, 25, 37.9), (10_000, 25, 39.25)])
def test_percentile__of_a_fan_out__evenly_between_its_first_and_its_last(number: int, p50: float, p99: float) -> None:
    times = Times()
    times.spread(10, 40, number)
    assert times.percentile(50) == pytest.approx(p50, rel=0.06)
    assert times.percentile(99) == pytest.approx(p99, rel=0.03)
    assert sum(times.kept().values()) == number


def test_percentile__of_several_processes__counts_each_by_what_it_has() -> None:
    all_of_them, one = Times(), Times()
    one.add(5, 99)
    all_of_them.add(-3)
    all_of_them.merge(one)
    assert all_of_them.percentile(50) == pytest.approx(5, rel=0.006)
    assert all_of_them.percentile(1) == pytest.approx(0.01, rel=0.006)
    assert Times().percentile(50) is None
