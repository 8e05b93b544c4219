"""The end of a stream in unusual conditions, with a fake sink."""

import asyncio
from datetime import UTC, datetime
from unittest import mock

import pytest
from pytest_django import Settings

from realtime.delivery import hub
from realtime.delivery.sinks import ASGISink, Piece
from realtime.delivery.stream import Stream
from realtime.http import streams
from realtime.http.transport import Connection
from realtime.types import EnvironmentKey, EnvironmentState
from tests.realtime.clock import skip
from tests.support.asgi import eventually
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)

KEY = EnvironmentKey("unknown")


class FakeSink:
    """A sink that records what is written. Tests set ``ready``, and ``error`` to make it raise."""

    def __init__(self) -> None:
        self.ready = True
        self.error: Exception | None = None
        self.written: list[bytes] = []
        self.outcome: str | None = None

    def open(self, source: Stream, opening: Piece, closing: bool) -> None:
        self.source = source
        self.write(opening)

    def write(self, piece: Piece) -> None:
        if self.error is not None:
            raise self.error
        self.written.append(piece.body)

    def end(self) -> None:
        if self.error is not None:
            raise self.error
        self.outcome = "ended"

    def abort(self) -> None:
        self.outcome = "aborted"


@pytest.fixture
async def sink(streams: hub.Hub) -> FakeSink:
    """The sink of an open stream of an unknown environment, after its first comment."""
    sink = FakeSink()
    Stream(sink).open(KEY)
    await eventually(lambda: len(sink.written) == 2)
    return sink


def stream_of(sink: FakeSink) -> Stream:
    assert isinstance(sink.source, Stream)
    return sink.source


def deliver_event(streams: hub.Hub) -> bytes:
    streams.topics[KEY].accept(EnvironmentState(KEY, datetime.now(UTC), True))
    frame = streams.topics[KEY].frame
    assert frame is not None
    return frame.body


async def test_end__pending_event__written_before_the_end(streams: hub.Hub, sink: FakeSink) -> None:
    sink.ready = False
    frame = deliver_event(streams)
    stream_of(sink).end()
    assert sink.written[-1] == frame
    assert sink.outcome == "ended"


async def test_end__twice__ends_once(streams: hub.Hub, sink: FakeSink) -> None:
    stream_of(sink).end()
    sink.outcome = None
    stream_of(sink).end()
    stream_of(sink).end_by(0)
    assert sink.outcome is None


async def test_end_by__later_than_its_age__changes_nothing(streams: hub.Hub, sink: FakeSink) -> None:
    age = stream_of(sink).ends_at
    stream_of(sink).end_by(age + 60)
    assert stream_of(sink).ends_at == age


async def test_connection_lost__twice__counted_once(streams: hub.Hub, sink: FakeSink) -> None:
    stream_of(sink).connection_lost()
    stream_of(sink).connection_lost()
    assert streams.open_count == 0
    # A timer that had already fired.
    stream_of(sink).due(streams.loop.time())
    assert sink.outcome is None


async def test_due__write_raises__aborted(
    streams: hub.Hub, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REALTIME_KEEPALIVE_SECONDS = 600
    sink = FakeSink()
    Stream(sink).open(KEY)
    await eventually(lambda: len(sink.written) == 2)
    sink.error = RuntimeError("a bug")
    skip(600)
    await eventually(lambda: sink.outcome == "aborted")
    assert "stream_failed" in caplog.text


async def test_initialize__one_stream_fails__others_are_served(streams: hub.Hub) -> None:
    sinks = [FakeSink() for _ in range(3)]
    for sink in sinks:
        Stream(sink).open(KEY)
    sinks[1].error = RuntimeError("a bug")
    await eventually(lambda: sinks[1].outcome == "aborted")
    await eventually(lambda: len(sinks[0].written) == len(sinks[2].written) == 2)


async def test_connection__without_a_stream__writes_nothing(streams: hub.Hub) -> None:
    transport, server = mock.Mock(spec=asyncio.Transport), mock.Mock(connections=set(), default_headers=[])
    transport.is_closing.return_value = False
    connection = Connection(transport, server)
    # Before ``open`` and after the end, the connection has no stream.
    connection.shutdown()
    connection.resume_writing()
    connection.connection_lost(None)
    transport.is_closing.return_value = True
    connection.end()
    connection.abort()
    transport.write.assert_not_called()
    transport.abort.assert_called_once()
    assert server.connections == set()


def test_shortcut__other_path__declined() -> None:
    assert streams.SDK.shortcut({"path": "/sse/environments/x/queue-change", "headers": []}) is None


async def test_asgi_sink__aborted_before_a_write__run_returns() -> None:
    send = mock.AsyncMock()
    aborted_before, aborted_during = ASGISink(send), ASGISink(send)
    aborted_before.abort()
    await aborted_before.run()
    running = asyncio.create_task(aborted_during.run())
    await asyncio.sleep(0)
    aborted_during.abort()
    await asyncio.wait_for(running, PATIENCE)
    send.assert_not_called()
