"""How a stream ends when something is odd, with a client that this test plays."""

import asyncio
from datetime import UTC, datetime
from unittest import mock

import pytest
from pytest_django import Settings

from realtime.delivery import hub
from realtime.delivery.sinks import ASGISink, Piece, Source
from realtime.delivery.stream import Stream
from realtime.http import streams
from realtime.http.transport import Connection
from realtime.types import EnvironmentKey, EnvironmentState
from tests.realtime.clock import skip
from tests.support.asgi import eventually
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)

KEY = EnvironmentKey("nobody")


class PlayedSink:
    """A client that takes what it is given, unless ``ready`` is false or ``broken`` is set."""

    def __init__(self) -> None:
        self.ready = True
        self.broken: Exception | None = None
        self.written: list[bytes] = []
        self.fate: str | None = None

    def open(self, source: Source, opening: Piece, closing: bool) -> None:
        self.source = source
        self.write(opening)

    def write(self, piece: Piece) -> None:
        if self.broken is not None:
            raise self.broken
        self.written.append(piece.body)

    def end(self) -> None:
        if self.broken is not None:
            raise self.broken
        self.fate = "ended"

    def abort(self) -> None:
        self.fate = "aborted"


@pytest.fixture
async def sink(streams: hub.Hub) -> PlayedSink:
    """Of an open stream that has been told that there is no such environment."""
    sink = PlayedSink()
    Stream(sink).open(KEY)
    await eventually(lambda: len(sink.written) == 2)
    return sink


def played(sink: PlayedSink) -> Stream:
    assert isinstance(sink.source, Stream)
    return sink.source


def tell(streams: hub.Hub) -> bytes:
    streams.topics[KEY].offer(EnvironmentState(KEY, datetime.now(UTC), True))
    frame = streams.topics[KEY].frame
    assert frame is not None
    return frame.body


async def test_end__event_waiting_for_the_client__goes_out_before(streams: hub.Hub, sink: PlayedSink) -> None:
    sink.ready = False
    frame = tell(streams)
    played(sink).end()
    assert sink.written[-1] == frame
    assert sink.fate == "ended"


async def test_end__twice__is_once(streams: hub.Hub, sink: PlayedSink) -> None:
    played(sink).end()
    sink.fate = None
    played(sink).end()
    played(sink).end_by(0)
    assert sink.fate is None


async def test_end_by__later_than_its_age__changes_nothing(streams: hub.Hub, sink: PlayedSink) -> None:
    age = played(sink).ends_at
    played(sink).end_by(age + 60)
    assert played(sink).ends_at == age


async def test_lost__twice__counts_once(streams: hub.Hub, sink: PlayedSink) -> None:
    played(sink).lost()
    played(sink).lost()
    assert streams.open == 0
    # A timer that was on its way already.
    played(sink).due(streams.loop.time())
    assert sink.fate is None


async def test_due__client_that_cannot_be_written_to__is_aborted(
    streams: hub.Hub, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.REALTIME_KEEPALIVE_SECONDS = 600
    sink = PlayedSink()
    Stream(sink).open(KEY)
    await eventually(lambda: len(sink.written) == 2)
    sink.broken = RuntimeError("a bug")
    skip(600)
    await eventually(lambda: sink.fate == "aborted")
    assert "stream_failed" in caplog.text


async def test_welcome__one_that_fails__the_others_are_welcomed(streams: hub.Hub) -> None:
    sinks = [PlayedSink() for _ in range(3)]
    for sink in sinks:
        Stream(sink).open(KEY)
    sinks[1].broken = RuntimeError("a bug")
    await eventually(lambda: sinks[1].fate == "aborted")
    await eventually(lambda: len(sinks[0].written) == len(sinks[2].written) == 2)


async def test_connection__after_its_end__nothing_is_written_and_nobody_is_told(streams: hub.Hub) -> None:
    transport, server = mock.Mock(spec=asyncio.Transport), mock.Mock(connections=set(), default_headers=[])
    transport.is_closing.return_value = False
    connection = Connection(transport, server)
    # Before there is a stream, and after it has gone, nobody is there to be told.
    connection.shutdown()
    connection.resume_writing()
    connection.connection_lost(None)
    transport.is_closing.return_value = True
    connection.end()
    connection.abort()
    transport.write.assert_not_called()
    transport.abort.assert_called_once()
    assert server.connections == set()


def test_shortcut__another_path__is_not_taken() -> None:
    assert streams.shortcut({"path": "/sse/environments/x/queue-change", "headers": []}) is None


async def test_asgi_sink__client_gone_before_anything_is_written__ends_at_once() -> None:
    send = mock.AsyncMock()
    gone_early, gone_late = ASGISink(send), ASGISink(send)
    gone_early.abort()
    await gone_early.run()
    running = asyncio.create_task(gone_late.run())
    await asyncio.sleep(0)
    gone_late.abort()
    await asyncio.wait_for(running, PATIENCE)
    send.assert_not_called()
