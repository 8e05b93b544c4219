"""A short run of each kind of benchmark on one small server. The figures are meaningless."""

import argparse
import json
from collections.abc import Callable

import pytest

from benchmarks import behind_nginx, connects, fanout, latency, memory, neighbours, reads, refetch_load
from benchmarks.report import Figures, Report
from benchmarks.server import Product
from benchmarks.subjects import Ours
from tests.support.server import ServerProcess

pytestmark = pytest.mark.slow

STREAMS = 20


@pytest.fixture
def served(start_server: Callable[..., ServerProcess]) -> Product:
    server = start_server(REALTIME_STREAM_SECONDS="3600", LOG_LEVEL="WARNING")
    return Product([server], json.loads(server.manage("seed_demo", "--json")))


@pytest.mark.e2e
def test_streams__small_server__figures(served: Product, monkeypatch: pytest.MonkeyPatch) -> None:
    # Given
    for module in (fanout, connects, refetch_load):
        monkeypatch.setattr(module, "PAUSE_SECONDS", 0.0)
    subject = Ours(served)
    small = argparse.Namespace(streams=STREAMS, window=10, measurements=1)

    # When
    measured: list[Figures] = [
        *fanout.measure(subject, STREAMS, 1),
        *connects.measure(subject, STREAMS, 10, 1),
        *refetch_load.measure_product(served, small),
        memory.measure(subject, STREAMS, 0.1),
    ]
    toggles = latency.measure(served, served.targets[0], toggles=2, subscribers=3, warm_up=0)
    with neighbours.under_way(neighbours.size(served, 20, 2), served.server.port, 2) as attack_figures:
        measured.append(neighbours.victim(served, 0.5))

    # Then
    assert 0 < measured[0]["last_ms"] < measured[0]["update_to_last_ms"]
    assert measured[1]["connects_per_second"] > 0
    assert 0 < measured[2]["first_ms"] <= measured[2]["last_ms"]
    assert measured[3]["pss_without_mib"] > 0
    assert 0 < measured[4]["p50_ms"] <= measured[4]["p99_ms"]
    assert attack_figures["attackers_get_200_per_second"] > 0
    assert [toggle.answer > 0 and toggle.event > 0 for toggle in toggles] == [True, True]


@pytest.mark.e2e
def test_reads__product_and_relay__all_answers_are_right_and_figures(served: Product) -> None:
    # Given
    environment = reads.Environment(served, len(served.demo["features"]) + 2, segments=2, identities=4)
    result = Report("smoke", "", "small")
    small = argparse.Namespace(seconds=0.5, connections=4, measurements=1)

    # When
    with reads.servers(served, None) as servers:
        for kind in ("flags", "gets", "posts", "evaluations", "unchanged"):
            loads = {f"{name}: {kind}": getattr(environment, kind)(each) for name, each in servers.items()}
            reads.measure(result, loads, small)

    # Then
    assert len(result.median) == 10
    assert min(figures["per_second"] for figures in result.median.values()) > 0
    assert json.loads(json.dumps(result.as_json()))["measured"]["relay: flags"]


def test_behind_nginx__few_streams__figures() -> None:
    with behind_nginx.machine(relays=1, features=10) as on:
        plain = behind_nginx.measure_plain(on, STREAMS, 0.1)
        refetches = behind_nginx.measure_refetches(on, STREAMS, 10)
        tls = behind_nginx.measure_tls(on, STREAMS)
    assert plain["relay_process_mib"] > 0
    assert min(plain["nginx_event_us"], plain["relay_event_us"], refetches["nginx_refetch_us"]) > 0
    assert tls["nginx_connect_us"] > plain["nginx_connect_us"]
