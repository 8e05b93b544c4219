"""Connections on which known requests come: what ends them, what else they carry, and how much they keep."""

import asyncio
from typing import Any

import pytest
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from realtime.http import request_limits
from realtime.http.protocol import ShortcutProtocol
from tests.realtime import clock
from tests.realtime.clock import skip
from tests.realtime.known.played import GET, Server, held, reply
from tests.support.asgi import eventually
from tests.support.patience import PATIENCE

# Each test runs on both kinds of transports.
LOOPS = clock.LOOPS


async def test_connection__reset_as_its_time_comes__nothing_fails(server: Server, connect: Any) -> None:
    await connect()
    await eventually(lambda: bool(server.state.connections))
    (connection,) = server.state.connections
    assert isinstance(connection, ShortcutProtocol)
    connection.transport.abort()
    connection.due(connection.loop.time() + 1_000)
    await eventually(lambda: not server.state.connections)


async def test_client__that_reads_nothing__is_waited_for(server: Server, connect: Any) -> None:
    client = await connect()
    await client.ask(GET)
    server.played.size = 10_000_000
    await client.send(GET, GET)
    # Behind an answer that has not gone out, the application answers, which can wait.
    await eventually(lambda: len(server.application.scopes) == 1)
    assert len(await client.answer()) > 10_000_000
    assert await client.answer() == b"application, /known, "
    server.played.size = 0
    assert await client.ask(GET) == b"look 1 at localhost"


async def test_connection__used_no_more__is_closed_and_others_are_not(
    server: Server, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_limits, "HEADER_TIMEOUT_SECONDS", clock.DAY)
    server.config.timeout_keep_alive = 1_000
    idle, busy, slow, late = [await connect() for _ in range(4)]
    for client in (idle, busy, slow):
        await client.ask(GET)
    server.played.waits = True
    # Both wait for an answer longer than an idle connection would be kept; one has begun with what comes behind it.
    await slow.send(GET)
    await held(server, 1)
    await late.send(GET + GET[:10])
    held_slow, held_late = await held(server, 2)
    server.played.waits = False
    for _ in range(3):
        skip(600)
        assert (await busy.ask(GET)).endswith(b"at localhost")
    assert await idle.is_closed()
    for client, waiting in ((slow, held_slow), (late, held_late)):
        reply(waiting, b"at last")
        assert await client.answer() == b"at last"
    skip(1_000)
    assert await slow.is_closed()
    assert (await late.ask(GET[10:])).endswith(b"at localhost")
    skip(1_000)
    assert await late.is_closed()
    # What comes by the ordinary way is uvicorn's to wait for, and then ours again.
    both = await connect()
    for _ in range(2):
        assert await both.ask(b"GET /other HTTP/1.1\r\n\r\n") == b"application, /other, "
        skip(600)
        assert (await both.ask(GET)).endswith(b"at localhost")
        skip(600)
    skip(400)
    assert await both.is_closed()


async def test_connection__that_says_nothing__ends_in_time(server: Server, connect: Any) -> None:
    client = await connect()
    await client.ask(GET)
    (connection,) = server.state.connections
    connection.shutdown()
    assert await client.is_closed()


async def test_connection__that_uvicorn_has_no_part_in_yet__lacks_only_what_it_needs_for_requests(
    server: Server, connect: Any
) -> None:
    """A new attribute of a new version of uvicorn may be one that a connection needs from its beginning."""
    await connect()
    await eventually(lambda: bool(server.state.connections))
    (late,) = server.state.connections
    whole = HttpToolsProtocol(config=server.config, server_state=server.state, app_state={})
    for_requests = {"app", "access_logger", "access_log", "expect_100_continue", "tasks", "ws_protocol_class"}
    settings = {"asgi_version", "limit_concurrency", "root_path", "timeout_keep_alive"}
    assert {name for name in vars(whole) if not hasattr(late, name)} == for_requests | settings


async def test_request__behind_one_that_would_change_the_protocol__answered_as_when_it_is_parsed(connect: Any) -> None:
    upgrade = b"GET /other HTTP/1.1\r\nconnection: upgrade\r\nupgrade: smoke\r\n\r\n"
    for client in (await connect(), await connect()):
        assert await client.ask(upgrade) == b"application, /other, "
        assert await client.ask(GET) == b"look 1 at localhost"


@pytest.mark.parametrize("method", [b"GET", b"OPTIONS", b"CONNECT"])
async def test_requests__pipelined_behind_an_upgrade__are_answered_in_order(connect: Any, method: bytes) -> None:
    client = await connect()
    upgrade = method + b" /1 HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    second, third = (b"GET /%d HTTP/1.1\r\n\r\n" % number for number in (2, 3))
    await client.send(upgrade + second + upgrade + third[:9], third[9:])
    answers = [await client.answer() for _ in range(4)]
    assert answers == [b"application, /%d, " % number for number in (1, 2, 1, 3)]


@pytest.mark.parametrize("body", [b"content-length: 25\r\n", b"transfer-encoding: chunked\r\n"])
async def test_request__upgrade_with_a_body__is_refused_and_its_body_is_no_request(
    connect: Any, server: Server, body: bytes
) -> None:
    """The parser takes what follows the head for another protocol's bytes."""
    client = await connect()
    await client.send(b"POST /other HTTP/1.1\r\nconnection: upgrade\r\nupgrade: h2c\r\n" + body + b"\r\n")
    await client.send(b"GET /hidden HTTP/1.1\r\n\r\n")
    async with asyncio.timeout(PATIENCE):
        answer = await client.reader.read()
    assert answer.startswith(b"HTTP/1.1 400")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("behind", ["rubbish", "a head without an end", "a head that lasts for ever"])
async def test_connection__ended_for_what_is_behind_a_held_request__that_one_is_answered_first(
    server: Server, connect: Any, monkeypatch: pytest.MonkeyPatch, known: bool, behind: str
) -> None:
    """A client would take anything else for the answer to it."""
    monkeypatch.setattr(request_limits, "MAX_HEADER_BYTES", 1_000)
    client = await connect()
    if known:
        await client.ask(GET)
    server.played.waits = True
    if behind == "rubbish":
        await client.send(GET, b"rubbish\r\n\r\n")
    elif behind == "a head without an end":
        await client.send(GET, GET[:-2], b"x-a: %b" % (b"a" * 900), b"a" * 900, b"a" * 900)
    else:
        await client.send(GET, GET[:-2])
    (waiting,) = await held(server)
    if behind == "a head that lasts for ever":
        skip(request_limits.HEADER_TIMEOUT_SECONDS)
    connections: list[Any] = list(server.state.connections)
    await eventually(lambda: connections[0]._discards_input)
    reply(waiting, b"at last")
    assert await client.answer() == b"at last"
    assert await client.is_closed()


async def test_connection__rubbish_in_a_body__is_refused_at_once(connect: Any) -> None:
    client = await connect()
    await client.send(b"POST /other HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\nrubbish")
    async with asyncio.timeout(PATIENCE):
        assert (await client.reader.read()).startswith(b"HTTP/1.1 400")


async def test_connection__very_many_requests_at_once__so_many_are_answered_and_no_more_are_kept(
    server: Server, connect: Any
) -> None:
    client = await connect()
    server.played.waits = True
    other = b"GET /other HTTP/1.1\r\n\r\n"
    await client.send(GET + other * 3 * request_limits.MAX_PIPELINED)
    (waiting,) = await held(server)
    connections: list[Any] = list(server.state.connections)
    assert [len(connection.pipeline) for connection in connections] == [request_limits.MAX_PIPELINED]
    reply(waiting, b"first")
    assert await client.answer() == b"first"
    for _ in range(request_limits.MAX_PIPELINED):
        assert await client.answer() == b"application, /other, "
    assert await client.is_closed()


async def test_connection__idle_but_for_empty_lines__is_closed(server: Server, connect: Any) -> None:
    client = await connect()
    assert await client.ask(b"GET /other HTTP/1.1\r\n\r\n") == b"application, /other, "
    await client.send(b"\r\n")
    skip(server.config.timeout_keep_alive)
    assert await client.is_closed()
