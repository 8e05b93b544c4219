"""Limits of request heads and bodies on a socket: complete ones are answered, incomplete ones time out."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from realtime.http import request_limits
from realtime.http.request_limits import LimitedRequests
from tests.realtime.clock import skip
from tests.support.asgi import eventually
from tests.support.patience import PATIENCE

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n"

SLOW_SECONDS = 3 * request_limits.BODY_TIMEOUT_SECONDS


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/slow":
        await asyncio.sleep(SLOW_SECONDS)
    if scope["path"] in ("/slow", "/read"):
        while (await receive()).get("more_body"):
            pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def state() -> ServerState:
    return ServerState()


@pytest.fixture
async def port(state: ServerState) -> AsyncIterator[int]:
    config = Config(application, http=LimitedRequests, ws="none", log_config=None)
    config.load()
    server = await asyncio.get_running_loop().create_server(
        lambda: LimitedRequests(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


async def answered(port: int, state: ServerState, *pieces: bytes) -> bytes:
    """Send the pieces, each after the response to the one before, and return everything until the server closes the
    connection after ``HEAD_SECONDS``.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    received = b""
    async with asyncio.timeout(PATIENCE):
        for piece in pieces:
            writer.write(piece)
            if piece.endswith(b"\r\n\r\n"):
                received += await reader.readuntil(b"\r\n\r\n")
    connections: Any = state.connections
    # Unless the connection is closed already, the server waits for a head.
    await eventually(lambda: any(each._awaits_headers for each in connections) or bool(received and not connections))
    skip(request_limits.HEADER_TIMEOUT_SECONDS)
    async with asyncio.timeout(PATIENCE):
        received += await reader.read()
    writer.close()
    return received


async def test_head__complete_ones_then_an_incomplete_one__answered_then_408(port: int, state: ServerState) -> None:
    received = await answered(port, state, GET + b"\r\n", GET + b"\r\n", GET)
    assert received.count(b"HTTP/1.1 204") == 2
    assert received.count(b"HTTP/1.1 408") == 1


async def test_head__none__408(port: int, state: ServerState) -> None:
    assert (await answered(port, state)).startswith(b"HTTP/1.1 408")


async def test_head__in_pieces__answered(port: int, state: ServerState) -> None:
    received = await answered(port, state, GET, b"x-a: b\r\n", b"connection: close\r\n\r\n")
    assert received.startswith(b"HTTP/1.1 204")


async def test_head__too_large__431(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET)
    received = b""
    async with asyncio.timeout(PATIENCE):
        while not received:
            writer.write(b"x-a: " + b"b" * 10_000 + b"\r\n")
            await writer.drain()
            try:
                received = await asyncio.wait_for(reader.read(20), 0.01)
            except TimeoutError:
                continue
    assert received.startswith(b"HTTP/1.1 431")
    writer.close()


async def test_head__too_large_and_invalid__one_400(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_limits, "MAX_HEADER_BYTES", 100)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET)
    # So that the server reads it separately.
    await asyncio.sleep(0.05)
    writer.write(b"\0" * 200)
    async with asyncio.timeout(PATIENCE):
        received = await reader.read()
    writer.close()
    assert received.startswith(b"HTTP/1.1 400")
    assert received.count(b"HTTP/1.1") == 1


def post(path: str, length: int) -> bytes:
    return b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % (path.encode(), length)


async def body_read(state: ServerState, length: int) -> None:
    """Wait until the server has received this much of the only connection's body."""

    def is_received() -> bool:
        return any(connection.cycle is not None and len(connection.cycle.body) == length for connection in connections)

    connections: Any = state.connections
    await eventually(is_received)


async def test_body__incomplete__connection_closed(port: int, state: ServerState) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(post("/slow", 10) + b"abc")
    await body_read(state, 3)
    skip(request_limits.BODY_TIMEOUT_SECONDS)
    async with asyncio.timeout(PATIENCE):
        assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("pause", [0.6, 0.0], ids=["in pieces", "late"])
@pytest.mark.parametrize("behind", [b"", GET])
async def test_body__slow_pieces_or_slow_response__answered_and_the_connection_stays_open(
    port: int, state: ServerState, behind: bytes, pause: float
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(post("/slow", 4))
    for length, piece in enumerate((b"a", b"b", b"c", b"d" + behind), 1):
        skip(pause * request_limits.BODY_TIMEOUT_SECONDS)
        writer.write(piece)
        await body_read(state, length)
    skip(SLOW_SECONDS)
    async with asyncio.timeout(PATIENCE):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        if behind:
            # The second head is incomplete.
            assert (await reader.read())[:12] in (b"HTTP/1.1 408", b"")
            return
        writer.write(GET + b"\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
    writer.close()


async def test_body__not_read_by_the_application_yet__no_timeout(port: int, state: ServerState) -> None:
    length = 1_000_000
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(post("/slow", length) + b"a" * (length // 2))
    connections: Any = state.connections
    await eventually(lambda: any(each.flow is not None and each.flow.read_paused for each in connections))
    skip(2 * request_limits.BODY_TIMEOUT_SECONDS)
    # The deadline has passed and was checked.
    await asyncio.sleep(5 * request_limits.RECHECK_SECONDS)
    writer.write(b"a" * (length // 2))
    skip(SLOW_SECONDS)
    async with asyncio.timeout(PATIENCE):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
    writer.close()
