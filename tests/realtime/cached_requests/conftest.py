"""Fixtures: a server with one shortcut, and connections to it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

from realtime.http import protocol, shortcuts
from realtime.http.request_cache import RequestCache
from tests.realtime.cached_requests.fakes import Application, Client, FakeShortcut, Server
from tests.support.asgi import eventually


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setattr(protocol, "cached_requests", RequestCache(3))
    shortcut = FakeShortcut()
    monkeypatch.setitem(
        shortcuts.registered_gets, b"/cached", shortcuts.RegisteredShortcut(shortcut.find, any_endpoint=False)
    )
    server = Server(shortcut, Application())
    async with await asyncio.get_running_loop().create_server(server.protocol, "0.0.0.0", 0) as listening:
        server.port = listening.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        yield server
        await eventually(lambda: not server.state.connections)


@pytest.fixture
async def connect(server: Any) -> AsyncIterator[Callable[..., Any]]:
    writers: list[asyncio.StreamWriter] = []

    async def connected(host: str = "127.0.0.1") -> Client:
        reader, writer = await asyncio.open_connection(host, server.port)
        writers.append(writer)
        return Client(reader, writer)

    yield connected
    for writer in writers:
        writer.close()
