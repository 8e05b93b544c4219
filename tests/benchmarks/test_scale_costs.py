"""The costs in docs/scale.md: the page has what the script computes from the results of the benchmarks."""

from dataclasses import replace

import pytest

from benchmarks import scale_costs
from benchmarks.scale_costs import MARKED, PAGE, PLOT, SIZES, Assumptions, Model


@pytest.fixture
def model() -> Model:
    return Model(scale_costs.measured(), Assumptions())


def test_page__tables_and_plot__as_the_script_computes_them(model: Model) -> None:
    page = PAGE.read_text()
    rendered = scale_costs.tables(model)
    assert {match[2] for match in MARKED.finditer(page)} == set(rendered)
    remedy = "python -m benchmarks.scale_costs --write"
    assert scale_costs.with_tables(page, rendered) == page, remedy
    assert PLOT.read_text() == scale_costs.plot(model), remedy


def test_costs__more_streams__tree_deepens_and_each_machine_stays_within_its_limits(model: Model) -> None:
    costs = [model.costs(streams) for streams in SIZES]
    assert [each.levels for each in costs] == sorted(each.levels for each in costs)
    for each in costs:
        assert each.streams / each.leaves <= min(model.limits.values())
        assert each.last_event_seconds < each.last_refetch_seconds < model.assumed.refetch_seconds
        assert each.dollars >= (each.leaves + each.inner) * model.assumed.price


def test_costs__other_assumptions__other_limit_and_traffic_is_paid(model: Model) -> None:
    assert _limit(model) == "refetches"
    other = scale_costs.reusing(Model(model.figures, replace(model.assumed, machine_tb=0.1)))
    assert _limit(other) == "memory"
    assert other.streams_per_machine > model.streams_per_machine
    costs = other.costs(SIZES[0])
    assert costs.dollars > (costs.leaves + costs.inner) * other.assumed.price


def _limit(model: Model) -> str:
    return min(model.limits, key=lambda name: model.limits[name])
