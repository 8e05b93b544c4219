"""A short run of each kind of benchmark on one small server. The figures are meaningless."""

import argparse
import json
from collections.abc import Callable

import pytest

from benchmarks import behind_nginx, connects, fanout, flags, memory, neighbours, refetch_load, relay_day, tree
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


def test_relay_day__short__all_streams_at_the_newest_version_and_no_failure() -> None:
    arguments = argparse.Namespace(
        minutes=2,
        minute_seconds=4,
        environments=5,
        streams=40,
        changes=5,
        reads=100,
        identities=0.2,
        opening_seconds=2,
    )
    with relay_day.service(arguments.environments, features=10, stream_seconds=6) as served:
        day = relay_day.measure(served, arguments)
    result = Report("relay_day", "", "short")
    relay_day.add_figures(result, day)
    assert day.all_at_newest
    assert not day.failures
    assert day.changes > 0
    assert day.reads > 0
    assert result.median["minute 2"]["events_per_second"] > 0
    assert result.median["minute 2"]["relay_2_mib"] > 0


def test_tree__small__times_of_each_level_and_after_a_failure() -> None:
    with tree.tree(siblings=True) as built:
        measured = tree.measure(built, STREAMS, 1)
        (with_sibling,) = tree.measure_failures(built, STREAMS, siblings=True, measurements=1)
        tree.measure_failures(built, STREAMS, siblings=False, measurements=1)
    assert [figures["first_ms"] > 0 for (figures,) in measured.values()] == [True] * 3
    assert with_sibling["streams"] == STREAMS


def test_behind_nginx__few_streams__figures() -> None:
    with relay_day.service(1, features=10, stream_seconds=3_600, number=1) as served:
        machine = behind_nginx.Machine(served)
        plain = behind_nginx.measure_plain(served, machine, STREAMS, 0.1)
        refetches = behind_nginx.measure_refetches(served, machine, STREAMS, 10)
        tls = behind_nginx.measure_tls(served, machine, STREAMS)
    assert plain["relay_process_mib"] > 0
    assert min(plain["nginx_event_us"], plain["relay_event_us"], refetches["nginx_refetch_us"]) > 0
    assert tls["nginx_connect_us"] > plain["nginx_connect_us"]
