"""Streams on uvicorn's transports: they end cleanly whatever a client sends and whenever it disconnects."""

import asyncio
import gc
import socket
import struct
import threading
import tracemalloc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from realtime import runtime
from realtime.answers import Answer
from realtime.delivery import hub
from realtime.delivery.stream import Stream
from realtime.hosts import EmbeddedHost
from realtime.http import request_limits
from realtime.http.protocol import ShortcutProtocol
from realtime.http.transport import Connection
from realtime.types import EnvironmentKey, EnvironmentState
from sdk import read_path
from settings.asgi import application
from tests.realtime import clock
from tests.realtime.clock import skip
from tests.support.asgi import eventually
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.django_db(transaction=True)

# Each test runs on both kinds of transports.
LOOPS = clock.LOOPS

KEY = EnvironmentKey("unknown")
GET = f"GET /sse/environments/{KEY}/stream HTTP/1.1\r\nhost: localhost\r\n\r\n".encode()
LAST_CHUNK = b"\r\n0\r\n\r\n"
START = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass
class Server:
    port: int
    state: ServerState
    streams: hub.Hub

    def streams_are_initialized(self) -> bool:
        """Return True if all streams have got their initial state."""
        subscribers: Any = self.streams.topics[KEY].subscribers
        return all(subscriber._initialized for subscriber in subscribers)

    def publish(self, moment: datetime = START) -> None:
        """Deliver an event to all streams."""
        self.streams.topics[KEY].accept(EnvironmentState(KEY, moment, True))


@pytest.fixture
async def server(long_periods: Any) -> AsyncIterator[Server]:
    """The product in this event loop, as with ``manage.py serve``. Streams are open for at most an hour."""
    long_periods.REALTIME_STREAM_SECONDS = 3_600
    config = Config(application, http=ShortcutProtocol, ws="none", log_config=None)
    config.load()
    state = ServerState()
    listening = await asyncio.get_running_loop().create_server(
        lambda: ShortcutProtocol(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    # Small kernel buffers, so that a client that does not read has an effect soon.
    listening.sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
    async with listening:
        yield Server(listening.sockets[0].getsockname()[1], state, hub.current())
        await runtime.current().close()


async def answer(server: Server, sent: bytes, *, half_close: bool = False, age: float = 0) -> bytes:
    """Send bytes and return everything until the server closes the connection. ``age``: time to skip meanwhile."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(sent)
    received = b""
    if half_close or age:
        received = await reader.readuntil(b"nothing will be sent")
    if half_close:
        writer.write_eof()
    skip(age)
    async with asyncio.timeout(PATIENCE):
        received += await reader.read()
    writer.close()
    return received


@pytest.mark.parametrize("behind", [b"GET /ver", GET, b"rubbish", b"\r\n" + GET[:-2]])
async def test_stream__bytes_after_the_request__ignored(server: Server, behind: bytes) -> None:
    assert request_limits.HEADER_TIMEOUT_SECONDS < 3_600
    received = await answer(server, GET + behind, age=3_600)
    assert received.startswith(b"HTTP/1.1 200")
    assert received.count(b"HTTP/1.1") == 1
    assert received.endswith(LAST_CHUNK)
    await eventually(lambda: not server.streams.open_count and not server.state.connections)


@pytest.mark.parametrize(
    "agent, seconds, open_until, ends_by",
    [
        ("Dart/3.4 (dart:io)", 3_600, 15, 31),
        ("Faraday v2.7.4", 3_600, 15, 31),
        ("Mozilla/5.0 (X11; Linux x86_64)", 3_600, 2_500, 3_601),
        ("okhttp/4.12.0", 3_600, 2_500, 3_601),
        ("Dart/3.4 (dart:io)", 20, 8, 21),
        ("Mozilla/5.0 (X11; Linux x86_64)", 20, 8, 21),
    ],
)
async def test_stream__kind_of_client__ends_at_its_age_or_the_settings(
    server: Server, long_periods: Any, agent: str, seconds: float, open_until: float, ends_by: float
) -> None:
    long_periods.REALTIME_STREAM_SECONDS = seconds
    get = GET.replace(b"\r\n\r\n", b"\r\nuser-agent: %b\r\n\r\n" % agent.encode())
    # The second request has the same bytes, so it is cached.
    for _ in range(2):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(get)
        await reader.readuntil(b"nothing will be sent")
        skip(open_until)
        # Due timers fire in the next iterations of the loop.
        for _ in range(3):
            await asyncio.sleep(0)
        assert server.streams.open_count == 1
        skip(ends_by - open_until)
        async with asyncio.timeout(PATIENCE):
            assert (await reader.read()).endswith(LAST_CHUNK)
        writer.close()
        await eventually(lambda: not server.streams.open_count)


async def test_stream__flutter__open_for_29_seconds(server: Server) -> None:
    get = GET.replace(b"\r\n\r\n", b"\r\nuser-agent: Dart/3.4 (dart:io)\r\n\r\n")
    connections = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(20)]
    for reader, writer in connections:
        writer.write(get)
        await reader.readuntil(b"nothing will be sent")
    # Less than 29 s, because a busy machine needs some time to open them.
    skip(27)
    for _ in range(3):
        await asyncio.sleep(0)
    assert server.streams.open_count == len(connections)
    for _, writer in connections:
        writer.close()
    await eventually(lambda: not server.streams.open_count)


async def test_stream__client_half_closes__ends_cleanly(server: Server) -> None:
    assert (await answer(server, GET, half_close=True)).endswith(LAST_CHUNK)
    await eventually(lambda: not server.streams.open_count)


@asynccontextmanager
async def unread(server: Server, sent: bytes) -> AsyncIterator[socket.socket]:
    """A client that sends these bytes and does not read."""
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", server.port))
        await loop.sock_sendall(client, sent)
        yield client
    await eventually(lambda: not server.state.connections)


def only_connection(server: Server) -> Any:
    (connection,) = server.state.connections
    return connection


async def fill_buffers(server: Server) -> None:
    """Deliver events until the only connection's buffers are full."""
    await eventually(lambda: bool(server.streams.topics))
    await eventually(server.streams_are_initialized)
    for number in range(1_000):
        server.publish(START + timedelta(seconds=number))
        if not only_connection(server).ready:
            # The kernel may still send some of it.
            await asyncio.sleep(0.05)
            if not only_connection(server).ready:
                return
    raise AssertionError("the buffers never filled up")


async def test_stream__client_does_not_read__same_number_of_deadlines(server: Server, settings: Any) -> None:
    settings.REALTIME_KEEPALIVE_SECONDS = 600
    async with unread(server, GET):
        await fill_buffers(server)
        with mock.patch.object(Stream, "due", autospec=True, side_effect=Stream.due) as due:
            for intervals in range(1, 4):
                skip(600)
                await eventually(lambda intervals=intervals: due.call_count >= intervals)
                # Longer than a slot of ``Timers`` (20 ms), in which there might be another deadline.
                await asyncio.sleep(0.1)
                assert due.call_count == intervals


async def test_stream__unread_responses_before_it__only_the_latest_event_is_pending(server: Server) -> None:
    async with unread(server, b"GET /health/liveness HTTP/1.1\r\nhost: localhost\r\n\r\n" * 60) as client:
        await eventually(lambda: server.state.total_requests == 60)
        waiting = only_connection(server).transport.get_write_buffer_size()
        assert 0 < waiting < 65_536
        await asyncio.get_running_loop().sock_sendall(client, GET)
        await eventually(lambda: bool(server.streams.topics))
        connection: Connection = only_connection(server)
        await eventually(server.streams_are_initialized)
        for number in range(1_000):
            server.publish(START + timedelta(seconds=number))
        assert not connection.ready
        assert connection._transport.get_write_buffer_size() < waiting + 2_000


async def test_stream__disconnected__its_object_is_freed(server: Server) -> None:
    # Other tests may have left streams in reference cycles.
    gc.collect()
    before = sum(type(each) is Stream for each in gc.get_objects())
    async with unread(server, GET):
        _, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        await eventually(lambda: server.streams.open_count == 2)
        await eventually(server.streams_are_initialized)
        writer.close()
        await eventually(lambda: server.streams.open_count == 1)
        assert sum(type(each) is Stream for each in gc.get_objects()) == before + 1


async def test_stream__write_raises__others_get_the_event(server: Server) -> None:
    broken, sound = await asyncio.gather(*(asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)))
    for _, writer in (broken, sound):
        writer.write(GET)
    for reader, _ in (broken, sound):
        await reader.readuntil(b"nothing will be sent\n\n\r\n")
    real = Connection.write
    port = broken[1].get_extra_info("sockname")[1]

    def write(connection: Connection, piece: Any) -> None:
        if connection._transport.get_extra_info("peername")[1] == port:
            raise ValueError("a bug")
        real(connection, piece)

    with mock.patch.object(Connection, "write", write):
        server.publish()
        await asyncio.wait_for(sound[0].readuntil(b"environment_updated"), PATIENCE)
        skip(3_600)
        async with asyncio.timeout(PATIENCE):
            assert (await sound[0].read()).endswith(LAST_CHUNK)
    for _, writer in (broken, sound):
        writer.close()
    await eventually(lambda: not server.streams.open_count)


@pytest.mark.parametrize("behind", [b"", b"GET /health/liveness HTTP/1.1\r\nhost: localhost\r\n\r\n", b"rubbish"])
@pytest.mark.parametrize("known", [True, False])
async def test_read__connection_reset_before_the_response__nothing_fails(
    server: Server, behind: bytes, known: bool
) -> None:
    loop, failures, go_on = asyncio.get_running_loop(), [], threading.Event()
    loop.set_exception_handler(lambda _, context: failures.append(context))
    began = asyncio.Event()

    def find_answers(requests: list[read_path.Request]) -> dict[read_path.Request, read_path.ReadyAnswer]:
        loop.call_soon_threadsafe(began.set)
        go_on.wait(PATIENCE)
        answer = Answer(200, b"[]", updated_at=START)
        return {request: read_path.ReadyAnswer(request.endpoint, 1, answer) for request in requests if known}

    with mock.patch.object(read_path, "find_answers", find_answers):
        client = socket.create_connection(("127.0.0.1", server.port))
        client.sendall(b"GET /api/v1/flags/ HTTP/1.1\r\nhost: localhost\r\nx-environment-key: a\r\n\r\n" + behind)
        await asyncio.wait_for(began.wait(), PATIENCE)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        # uvicorn does not read while a pipelined request waits, so it may notice the reset only now.
        await asyncio.sleep(0.1)
        go_on.set()
        await eventually(lambda: not server.state.connections)
    await eventually(lambda: not server.state.tasks)
    assert failures == []


async def test_stream__slow_read_of_the_state__head_is_sent_before(server: Server) -> None:
    released = threading.Event()
    with mock.patch.object(EmbeddedHost, "states", side_effect=lambda keys: released.wait(PATIENCE) and {}):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
        writer.write(GET)
        async with asyncio.timeout(PATIENCE):
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 200")
            await reader.readuntil(b"real-time updates")
            assert not released.is_set()
            released.set()
            await reader.readuntil(b"nothing will be sent")
        writer.close()
    await eventually(lambda: not server.streams.open_count)


async def test_stream__very_long_key__not_kept_in_memory(server: Server) -> None:
    writers = []
    tracemalloc.start()
    try:
        for number in range(20):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write(f"GET /sse/environments/{number}{'k' * 50_000}/stream HTTP/1.1\r\n\r\n".encode())
            await reader.readuntil(b"nothing will be sent")
            writers.append(writer)
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for writer in writers:
        writer.close()
    assert kept < 20 * 50_000


async def test_read__client_disconnected__leaves_no_reference_cycles(server: Server) -> None:
    with mock.patch.object(read_path, "find_answers", return_value={}):
        gc.collect()
        gc.disable()
        try:
            assert b" 403 " in await answer(
                server, b"GET /api/v1/flags/ HTTP/1.1\r\nx-environment-key: a\r\nconnection: close\r\n\r\n"
            )
            await eventually(lambda: not any(type(each) is ShortcutProtocol for each in gc.get_objects()))
        finally:
            gc.enable()
