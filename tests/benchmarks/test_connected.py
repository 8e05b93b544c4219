"""Clients that connect again as SDKs do: what is counted of them, and that each of them runs."""

import json
from collections.abc import Callable

import pytest

from benchmarks import connected, sdks
from benchmarks.sdks import Record
from benchmarks.server import Product
from tests.e2e.javascript_sdk import sdk_origin
from tests.support import programs
from tests.support.server import ServerProcess

# Seconds of each stream, so that they end several times. Flutter connects every 29 s, whatever its streams do.
AGE = 2.0
CLIENTS = [name for name in sdks.CLIENTS if name != "Flutter"]


@pytest.fixture
def page_needs() -> None:
    """What the clients in a browser need is installed."""
    programs.require("chromium")
    with sdk_origin():
        pass


@pytest.mark.e2e
@pytest.mark.usefixtures("page_needs")
def test_connected__streams_that_end__every_client_comes_back_and_has_every_toggle(
    start_server: Callable[..., ServerProcess],
) -> None:
    # Given
    server = start_server(REALTIME_STREAM_SECONDS=str(AGE), LOG_LEVEL="WARNING")
    served = Product([server], json.loads(server.manage("seed_demo", "--json")))

    # When
    measured = connected.measure(served, seconds=12 * AGE, pause=0.5, clients=CLIENTS)

    # Then
    assert list(measured) == CLIENTS
    for name, figures in measured.items():
        assert figures["toggles"] > 2
        assert figures["missed"] == 0, name
        assert figures["streams"] >= 2, name
        assert 0 <= figures["without_stream_percent"] < 100, name
        assert figures["answer_to_event_p50_ms"] <= figures["answer_to_event_max_ms"]
    # It waits for half a second before each connect.
    assert measured["Ruby"]["without_stream_percent"] > measured["Kotlin"]["without_stream_percent"]


def test_figures__toggle_while_there_is_no_stream__late_by_the_event_that_the_next_one_begins_with() -> None:
    # Given a stream that ends in the middle, and another one that begins with the newest of two versions
    record = Record(events=[(1.0, 10), (2.1, 20), (6.0, 40), (6.5, 30)], streams=[(1.0, 4.0), (6.0, 9.0)])
    toggles = [(2.0, 20), (4.5, 30), (5.0, 40), (7.0, 50)]

    # When
    figures = connected.figures(record, toggles, began=2.0, ended=10.0)

    # Then
    assert figures == pytest.approx(
        {
            "answer_to_event_p50_ms": 1000,
            "answer_to_event_p99_ms": 1500,
            "answer_to_event_max_ms": 1500,
            "without_stream_percent": 100 * 3 / 8,
            "streams": 1,
            "toggles": 4,
            "missed": 1,
        }
    )


@pytest.mark.parametrize(
    ("streams", "part"),
    [
        ([], 1.0),
        ([(0.0, 20.0)], 0.0),
        ([(0.0, 4.0), (3.0, 8.0), (5.0, 6.0)], 0.2),
        ([(6.0, 7.0), (1.0, 2.0)], 0.8),
    ],
)
def test_without_stream__streams_that_overlap__the_part_in_which_none_is_there(
    streams: list[tuple[float, float]], part: float
) -> None:
    assert connected.without_stream(streams, began=0.0, ended=10.0) == pytest.approx(part)
