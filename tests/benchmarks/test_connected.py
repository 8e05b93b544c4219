"""Figures of clients that connect again as SDKs do, and a run of each of them."""

import json
from collections.abc import Callable

import pytest

from benchmarks import connected, sdks
from benchmarks.sdks import Record
from benchmarks.server import Product
from tests.e2e.javascript_sdk import sdk_origin
from tests.support import programs
from tests.support.server import ServerProcess

pytestmark = pytest.mark.slow

# The duration of streams, so that they end several times. Flutter is excluded: it connects every 29 s.
STREAM_SECONDS = 2.0
CLIENTS = [name for name in sdks.CLIENTS if name != "Flutter"]


@pytest.fixture
def page_needs() -> None:
    """Skip the test if a program of the browser's clients is not installed."""
    programs.require("chromium")
    with sdk_origin():
        pass


@pytest.mark.e2e
@pytest.mark.usefixtures("page_needs")
def test_connected__streams_that_end__every_client_reconnects_and_gets_every_toggle(
    start_server: Callable[..., ServerProcess],
) -> None:
    # Given
    server = start_server(REALTIME_STREAM_SECONDS=str(STREAM_SECONDS), LOG_LEVEL="WARNING")
    served = Product([server], json.loads(server.manage("seed_demo", "--json")))

    # When
    measured = connected.measure(served, seconds=12 * STREAM_SECONDS, pause=0.5, clients=CLIENTS)

    # Then
    assert list(measured) == CLIENTS
    for name, figures in measured.items():
        assert figures["toggles"] > 2
        assert figures["missed"] == 0, name
        assert figures["streams"] >= 2, name
        assert 0 <= figures["without_stream_percent"] < 100, name
        assert figures["answer_to_event_p50_ms"] <= figures["answer_to_event_max_ms"]
    # The Ruby SDK waits for half a second before each connect.
    assert measured["Ruby"]["without_stream_percent"] > measured["Kotlin"]["without_stream_percent"]


def test_figures__toggle_without_a_stream__delay_until_the_next_streams_first_event() -> None:
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
    ("streams", "fraction"),
    [
        ([], 1.0),
        ([(0.0, 20.0)], 0.0),
        ([(0.0, 4.0), (3.0, 8.0), (5.0, 6.0)], 0.2),
        ([(6.0, 7.0), (1.0, 2.0)], 0.8),
    ],
)
def test_without_stream__streams_that_overlap__fraction_without_any(
    streams: list[tuple[float, float]], fraction: float
) -> None:
    assert connected.without_stream(streams, began=0.0, ended=10.0) == pytest.approx(fraction)
