"""Connections with cached requests: their end, other requests on them, and how much they buffer."""

import asyncio
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from realtime.http import request_limits
from realtime.http.protocol import ShortcutProtocol
from tests.realtime import clock
from tests.realtime.cached_requests.fakes import GET, Server, deferred_responses, reply
from tests.realtime.clock import skip
from tests.support.asgi import eventually
from tests.support.patience import PATIENCE

# Each test runs on both kinds of transports.
LOOPS = clock.LOOPS


async def test_connection__reset_at_its_deadline__nothing_fails(server: Server, connect: Any) -> None:
    await connect()
    await eventually(lambda: bool(server.state.connections))
    (connection,) = server.state.connections
    assert isinstance(connection, ShortcutProtocol)
    connection.transport.abort()
    connection.due(connection.loop.time() + 1_000)
    await eventually(lambda: not server.state.connections)


async def test_client__does_not_read__responses_wait(server: Server, connect: Any) -> None:
    client = await connect()
    await client.request(GET)
    server.shortcut.min_size = 10_000_000
    await client.send(GET, GET)
    # After an unsent response the application answers, because it can wait.
    await eventually(lambda: len(server.application.scopes) == 1)
    assert len(await client.answer()) > 10_000_000
    assert await client.answer() == b"application, /cached, "
    server.shortcut.min_size = 0
    assert await client.request(GET) == b"response 1 for localhost"


async def test_connection__idle__closed_and_others_are_not(
    server: Server, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_limits, "HEADER_TIMEOUT_SECONDS", clock.DAY)
    server.config.timeout_keep_alive = 1_000
    idle, busy, slow, late = [await connect() for _ in range(4)]
    for client in (idle, busy, slow):
        await client.request(GET)
    server.shortcut.defers = True
    # Both wait for a response longer than an idle connection is kept. One has sent a part of its next request.
    await slow.send(GET)
    await deferred_responses(server, 1)
    await late.send(GET + GET[:10])
    deferred_slow, deferred_late = await deferred_responses(server, 2)
    server.shortcut.defers = False
    for _ in range(3):
        skip(600)
        assert (await busy.request(GET)).endswith(b"for localhost")
    assert await idle.is_closed()
    for client, waiting in ((slow, deferred_slow), (late, deferred_late)):
        reply(waiting, b"at last")
        assert await client.answer() == b"at last"
    skip(1_000)
    assert await slow.is_closed()
    assert (await late.request(GET[10:])).endswith(b"for localhost")
    skip(1_000)
    assert await late.is_closed()
    # uvicorn times out other requests, and the shortcut protocol the cached ones.
    both = await connect()
    for _ in range(2):
        assert await both.request(b"GET /other HTTP/1.1\r\n\r\n") == b"application, /other, "
        skip(600)
        assert (await both.request(GET)).endswith(b"for localhost")
        skip(600)
    skip(400)
    assert await both.is_closed()


async def test_connection__idle_at_a_shutdown__closed(server: Server, connect: Any) -> None:
    client = await connect()
    await client.request(GET)
    (connection,) = server.state.connections
    connection.shutdown()
    assert await client.is_closed()


async def test_connection__without_uvicorns_protocol_yet__lacks_only_attributes_for_requests(
    server: Server, connect: Any
) -> None:
    """In a new version of uvicorn, a connection may need more attributes from its beginning."""
    await connect()
    await eventually(lambda: bool(server.state.connections))
    (late,) = server.state.connections
    complete = HttpToolsProtocol(config=server.config, server_state=server.state, app_state={})
    for_requests = {"app", "access_logger", "access_log", "expect_100_continue", "tasks", "ws_protocol_class"}
    settings = {"asgi_version", "limit_concurrency", "root_path", "timeout_keep_alive"}
    assert {name for name in vars(complete) if not hasattr(late, name)} == for_requests | settings


async def test_request__cached_after_an_upgrade_request__answered(connect: Any) -> None:
    upgrade = b"GET /other HTTP/1.1\r\nconnection: upgrade\r\nupgrade: smoke\r\n\r\n"
    for client in (await connect(), await connect()):
        assert await client.request(upgrade) == b"application, /other, "
        assert await client.request(GET) == b"response 1 for localhost"


@pytest.mark.parametrize("method", [b"GET", b"OPTIONS", b"CONNECT"])
async def test_requests__pipelined_after_an_upgrade__answered_in_order(connect: Any, method: bytes) -> None:
    client = await connect()
    upgrade = method + b" /1 HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    second, third = (b"GET /%d HTTP/1.1\r\n\r\n" % number for number in (2, 3))
    await client.send(upgrade + second + upgrade + third[:9], third[9:])
    answers = [await client.answer() for _ in range(4)]
    assert answers == [b"application, /%d, " % number for number in (1, 2, 1, 3)]


@pytest.mark.parametrize("path", [b"/other", b"/post"])
@pytest.mark.parametrize(
    "body",
    [
        b"content-length: 26\r\n\r\nGET /hidden HTTP/1.1\r\n\r\n..",
        b"transfer-encoding: chunked\r\n\r\n3\r\none\r\n0\r\n\r\n",
    ],
)
@pytest.mark.parametrize("part", [1_000, 7])
async def test_request__upgrade_with_a_body__upgrade_is_ignored_and_the_connection_stays_usable(
    connect: Any, path: bytes, body: bytes, part: int
) -> None:
    """Java's client asks for h2c in its first request (RFC 9110, 7.8: a server may ignore it)."""
    client = await connect()
    connection = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAEAAEAA\r\n"
    requests = b"POST " + path + b" HTTP/1.1\r\n" + connection + body + b"GET /next HTTP/1.1\r\n\r\n"
    for start in range(0, len(requests), part):
        await client.send(requests[start : start + part])
    sent = b"one" if b"chunked" in body else body[-26:]
    assert [await client.answer(), await client.answer()] == [
        b"application, " + path + b", " + sent,
        b"application, /next, ",
    ]


async def test_request__connect_with_a_body__400_and_its_body_is_not_parsed(connect: Any) -> None:
    """httptools treats the bytes after the head as those of another protocol."""
    client = await connect()
    await client.send(b"CONNECT /other HTTP/1.1\r\ncontent-length: 25\r\n\r\n")
    await client.send(b"GET /hidden HTTP/1.1\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        answer = await client.reader.read()
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("following", ["invalid", "too large a head", "an incomplete head"])
async def test_connection__invalid_request_after_a_deferred_response__deferred_response_is_sent_first(
    server: Server, connect: Any, monkeypatch: pytest.MonkeyPatch, cached: bool, following: str
) -> None:
    """A client would read an error sent before it as the response to the first request."""
    monkeypatch.setattr(request_limits, "MAX_HEADER_BYTES", 1_000)
    client = await connect()
    if cached:
        await client.request(GET)
    server.shortcut.defers = True
    if following == "invalid":
        await client.send(GET, b"rubbish\r\n\r\n")
    elif following == "too large a head":
        await client.send(GET, GET[:-2], b"x-a: %b" % (b"a" * 900), b"a" * 900, b"a" * 900)
    else:
        await client.send(GET, GET[:-2])
    (waiting,) = await deferred_responses(server)
    if following == "an incomplete head":
        skip(request_limits.HEADER_TIMEOUT_SECONDS)
    connections: list[Any] = list(server.state.connections)
    await eventually(lambda: connections[0]._discards_input)
    reply(waiting, b"at last")
    assert await client.answer() == b"at last"
    assert await client.is_closed()


async def test_connection__invalid_body__400(connect: Any) -> None:
    client = await connect()
    await client.send(b"POST /other HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nrubbish")
    async with asyncio.timeout(PATIENCE):
        assert (await client.reader.read()).startswith(b"HTTP/1.1 400")


async def test_connection__very_many_pipelined_requests__limit_is_answered_and_the_rest_dropped(
    server: Server, connect: Any
) -> None:
    client = await connect()
    server.shortcut.defers = True
    other = b"GET /other HTTP/1.1\r\n\r\n"
    await client.send(GET + other * 3 * request_limits.MAX_PIPELINED)
    (waiting,) = await deferred_responses(server)
    connections: list[Any] = list(server.state.connections)
    assert [len(connection.pipeline) for connection in connections] == [request_limits.MAX_PIPELINED]
    reply(waiting, b"first")
    assert await client.answer() == b"first"
    for _ in range(request_limits.MAX_PIPELINED):
        assert await client.answer() == b"application, /other, "
    assert await client.is_closed()


async def test_connection__only_empty_lines__closed(server: Server, connect: Any) -> None:
    client = await connect()
    assert await client.request(b"GET /other HTTP/1.1\r\n\r\n") == b"application, /other, "
    await client.send(b"\r\n")
    skip(server.config.timeout_keep_alive)
    assert await client.is_closed()
