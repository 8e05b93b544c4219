"""A short run of each kind of benchmark on one small server. The figures are meaningless."""

import argparse
import json
from collections.abc import Callable

import pytest

from benchmarks import connects, fanout, flags, memory, neighbours, refetch_load
from benchmarks.report import Figures, Report
from benchmarks.server import Product
from benchmarks.subjects import Ours
from tests.support.server import ServerProcess

pytestmark = pytest.mark.slow

STREAMS = 20


@pytest.mark.e2e
def test_benchmarks__small_server__figures(
    start_server: Callable[..., ServerProcess], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Given
    for module in (fanout, connects, refetch_load):
        monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)
    server = start_server(REALTIME_STREAM_SECONDS="3600", LOG_LEVEL="WARNING")
    served = Product([server], json.loads(server.manage("seed_demo", "--json")))
    subject = Ours(served)
    result = Report("smoke", "", "small")
    load = argparse.Namespace(
        features=len(served.demo["features"]), gzip=False, seconds=1.0, connections=4, measurements=1
    )

    # When
    measured: list[Figures] = [
        *fanout.measure(subject, STREAMS, 1),
        *connects.measure(subject, STREAMS, 10, 1),
        *refetch_load.measure(served, STREAMS, 10, 1),
        memory.measure(subject, STREAMS, 0.1),
    ]
    flags.measure(served, load, result)
    with neighbours.under_way(neighbours.size(served, 20, 2), server.port, 2) as attack_figures:
        measured.append(neighbours.victim(served, 0.5))

    # Then
    assert 0 < measured[0]["last_ms"] < measured[0]["update_to_last_ms"]
    assert measured[1]["connects_per_second"] > 0
    assert 0 < measured[2]["first_ms"] <= measured[2]["last_ms"]
    assert measured[3]["pss_without_mib"] > 0
    assert 0 < measured[4]["p50_ms"] <= measured[4]["p99_ms"]
    assert attack_figures["attackers_get_200_per_second"] > 0
    assert result.median["ours"]["per_second"] > 0
    assert json.loads(json.dumps(result.as_json()))["measured"]["ours"]
