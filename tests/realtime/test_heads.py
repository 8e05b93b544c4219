"""Heads of requests on a socket: those that end are answered, those that do not are ended."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from realtime.http import heads
from realtime.http.heads import BoundedHeads
from tests.support.patience import PATIENCE

GET = b"GET / HTTP/1.1\r\nhost: localhost\r\n"


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["path"] == "/slow":
        await asyncio.sleep(0.6)
    if scope["path"] in ("/slow", "/read"):
        while (await receive()).get("more_body"):
            pass
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """Of a server that waits a fifth of a second for heads, and for each piece of a body."""
    monkeypatch.setattr(heads, "HEAD_SECONDS", 0.2)
    monkeypatch.setattr(heads, "BODY_SECONDS", 0.2)
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


async def test_head__too_large_and_no_head_at_all__one_refusal(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heads, "MAX_HEAD_BYTES", 100)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(GET)
    # The server gets to read it alone.
    await asyncio.sleep(0.05)
    writer.write(b"\0" * 200)
    async with asyncio.timeout(PATIENCE):
        said = await reader.read()
    writer.close()
    assert said.startswith(b"HTTP/1.1 400")
    assert said.count(b"HTTP/1.1") == 1


def post(path: str, length: int) -> bytes:
    return b"POST %b HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % (path.encode(), length)


async def test_body__that_does_not_come__connection_ended(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(post("/read", 10) + b"abc")
    async with asyncio.timeout(PATIENCE):
        assert await reader.read() == b""
    writer.close()


@pytest.mark.parametrize("pause", [0.12, 0.01])
@pytest.mark.parametrize("behind", [b"", GET])
async def test_body__in_pieces_or_answered_late__is_answered_and_the_connection_goes_on(
    port: int, behind: bytes, pause: float
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(post("/slow", 4))
    for piece in (b"a", b"b", b"c", b"d" + behind):
        await asyncio.sleep(pause)
        writer.write(piece)
    async with asyncio.timeout(PATIENCE):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
        if behind:
            # Its head does not end.
            assert (await reader.read())[:12] in (b"HTTP/1.1 408", b"")
            return
        writer.write(GET + b"\r\n")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
    writer.close()


async def test_body__that_the_application_does_not_read_yet__is_waited_for(port: int) -> None:
    length = 1_000_000
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(post("/slow", length) + b"a" * (length // 2))
    await asyncio.sleep(0.5)
    writer.write(b"a" * (length // 2))
    async with asyncio.timeout(PATIENCE):
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 204")
    writer.close()
