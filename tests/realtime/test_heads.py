"""Heads of requests on a socket: those that end are answered, those that do not are ended."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from realtime import heads
from realtime.heads import BoundedHeads

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n"

PATIENCE = 5


async def application(scope: Any, receive: Any, send: Any) -> None:
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """Of a server that waits a fifth of a second for heads."""
    monkeypatch.setattr(heads, "HEAD_SECONDS", 0.2)
    config = Config(application, http=BoundedHeads, ws="none", log_config=None)
    config.load()
    state = ServerState()
    server = await asyncio.get_running_loop().create_server(
        lambda: BoundedHeads(config=config, server_state=state, app_state={}), "127.0.0.1", 0
    )
    async with server:
        yield server.sockets[0].getsockname()[1]


async def answered(port: int, *pieces: bytes) -> bytes:
    """Send the pieces, each after an answer or a while, and return all answers until the server ends the connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said = b""
    async with asyncio.timeout(PATIENCE):
        for piece in pieces:
            writer.write(piece)
            if piece.endswith(b"\r\n\r\n"):
                said += await reader.readuntil(b"\r\n\r\n")
        said += await reader.read()
    writer.close()
    return said


async def test_head__whole__answered_again_and_again_until_one_stops(port: int) -> None:
    said = await answered(port, GET + b"\r\n", GET + b"\r\n", GET)
    assert said.count(b"HTTP/1.1 204") == 2
    assert said.count(b"HTTP/1.1 408") == 1


async def test_head__none_at_all__connection_ended(port: int) -> None:
    assert (await answered(port)).startswith(b"HTTP/1.1 408")


async def test_head__in_pieces__answered(port: int) -> None:
    said = await answered(port, GET, b"x-a: b\r\n", b"connection: close\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 204")


async def test_head__too_large__connection_ended(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "HEAD_SECONDS", 60)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET)
    said = b""
    async with asyncio.timeout(PATIENCE):
        while not said:
            writer.write(b"x-a: " + b"b" * 10_000 + b"\r\n")
            await writer.drain()
            try:
                said = await asyncio.wait_for(reader.read(20), 0.01)
            except TimeoutError:
                continue
    assert said.startswith(b"HTTP/1.1 431")
    writer.close()
