"""Requests with the very bytes of one before are answered without being parsed: as if they had been, in every case."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from realtime.http import heads, protocol, shortcuts
from realtime.http.memo import Memo
from realtime.http.protocol import ShortcutProtocol
from realtime.http.shortcuts import Answerer, Channel, Held, Scope
from tests.realtime import clock
from tests.realtime.clock import skip
from tests.support.asgi import eventually
from tests.support.patience import PATIENCE

# Each test runs on both kinds of transports.
LOOPS = clock.LOOPS

GET = b"GET /known HTTP/1.1\r\nhost: localhost\r\n\r\n"
OTHER = GET.replace(b"localhost", b"localhosT")

OK = b"HTTP/1.1 200 OK\r\n"


class Played:
    """A shortcut for ``/known``, which says how often it has looked at a request, and to which host that was."""

    def __init__(self) -> None:
        self.looked: list[Scope] = []
        self.held: list[Held] = []
        self.size = 0
        """Of an answer's body, at least."""
        self.waits = False
        """Answers are given by the test."""
        self.says_who = False
        """Of an answer that is each client's own: the body is its port."""
        self.declines = False
        """The application is to answer."""

    def shortcut(self, scope: Scope) -> Answerer | None:
        if scope["query_string"]:
            return None
        self.looked.append(scope)
        host = dict(scope["headers"]).get(b"host", b"")
        number = len(self.looked)

        def answer(channel: Channel) -> bool:
            if self.declines:
                return False
            body = b"look %d at %b" % (number, host) + b"." * self.size
            if self.says_who:
                body = b"%d" % channel.whole_scope()["client"][1]
            held = channel.hold()
            if self.waits:
                self.held.append(held)
            else:
                reply(held, body)
            return True

        return answer


def reply(held: Held, body: bytes) -> None:
    held.reply(OK + b"content-length: %d\r\n" % len(body), body)


class Application:
    """Who answers everything else, with what it was asked."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        self.scopes.append(scope)
        told = (await receive())["body"]
        body = b"application, %b, %b" % (scope["path"].encode(), told)
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Server:
    def __init__(self, played: Played, application: Application) -> None:
        self.played = played
        self.application = application
        self.state = ServerState()
        self.config = Config(application, http=ShortcutProtocol, ws="none", log_config=None)
        self.config.load()

    def protocol(self) -> ShortcutProtocol:
        return ShortcutProtocol(config=self.config, server_state=self.state, app_state={"of": "the server"})


@pytest.fixture
async def server(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Server]:
    monkeypatch.setattr(protocol, "known", Memo(3))
    played = Played()
    monkeypatch.setitem(shortcuts.registered, b"/known", shortcuts.Registered(played.shortcut, everywhere=False))
    server = Server(played, Application())
    async with await asyncio.get_running_loop().create_server(server.protocol, "0.0.0.0", 0) as listening:
        server.port = listening.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        yield server
        await eventually(lambda: not server.state.connections)


async def held(server: Server, number: int = 1) -> list[Held]:
    """What waits for its answer, as soon as it is so many."""
    await eventually(lambda: len(server.played.held) == number)
    return server.played.held


class Client:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, *pieces: bytes) -> bytes:
        """Send these, each by itself, and return the next answer's body."""
        await self.send(*pieces)
        return await self.answer()

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            # The server gets to read it alone.
            await asyncio.sleep(0.01)

    async def answer(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(OK), head
            length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
            return await self.reader.readexactly(int(length.partition(b":")[2]))

    async def is_closed(self) -> bool:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read() == b""


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


async def test_request__same_bytes_on_any_connection__looked_at_once(server: Server, connect: Any) -> None:
    first, second = await connect(), await connect()
    for client in (first, first, second, first, second):
        assert await client.ask(GET) == b"look 1 at localhost"
    assert server.state.total_requests == 5
    assert not {"client", "state"} & set(server.played.looked[0])


async def test_request__same_bytes__each_client_is_known_by_itself(server: Server, connect: Any) -> None:
    server.played.says_who = True
    for client in (await connect(), await connect()):
        assert await client.ask(GET) == b"%d" % client.writer.get_extra_info("sockname")[1]


async def test_connection__reset_as_its_time_comes__nothing_fails(server: Server, connect: Any) -> None:
    await connect()
    await eventually(lambda: bool(server.state.connections))
    (connection,) = server.state.connections
    assert isinstance(connection, ShortcutProtocol)
    connection.transport.abort()
    connection.due(connection.loop.time() + 1_000)
    await eventually(lambda: not server.state.connections)


async def test_request__one_byte_differs__looked_at_anew(connect: Any) -> None:
    client = await connect()
    assert await client.ask(GET) == b"look 1 at localhost"
    assert await client.ask(OTHER) == b"look 2 at localhosT"
    assert await client.ask(GET) == b"look 1 at localhost"


@pytest.mark.parametrize("length", [1, len(GET) // 2, len(GET) - 1])
async def test_request__known_but_in_pieces__answered_once(connect: Any, length: int) -> None:
    client = await connect()
    for _ in range(2):
        assert (await client.ask(GET)).endswith(b"at localhost")
        assert (await client.ask(GET[:length], GET[length:])).endswith(b"at localhost")


async def test_request__known_bytes_in_the_middle_of_another__are_part_of_that(server: Server, connect: Any) -> None:
    client = await connect()
    await client.ask(GET)
    # The value of a header, and a body.
    assert await client.ask(b"GET /other HTTP/1.1\r\nx-a: ", GET) == b"application, /other, "
    assert (b"x-a", b"GET /known HTTP/1.1") in server.application.scopes[0]["headers"]
    post = b"POST /other HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(GET)
    assert await client.ask(post, GET) == b"application, /other, " + GET
    assert await client.ask(GET) == b"look 1 at localhost"


async def test_request__with_a_body__is_not_known_without_it(connect: Any) -> None:
    client = await connect()
    await client.ask(GET)
    head = GET.replace(b"host:", b"content-length: %d\r\nhost:" % len(GET))
    for number in (2, 3):
        assert await client.ask(head, GET) == b"look %d at localhost" % number
    assert await client.ask(GET) == b"look 1 at localhost"


async def test_request__known_and_more_behind_it__all_answered_in_order(server: Server, connect: Any) -> None:
    client = await connect()
    await client.ask(GET)
    for _ in range(2):
        await client.send(GET + OTHER, GET + b"GET /oth", b"er HTTP/1.1\r\n\r\n", GET)
        answers = [await client.answer() for _ in range(5)]
        assert [answer[-12:] for answer in answers[:3]] == [b"at localhost", b"at localhosT", b"at localhost"]
        assert answers[3] == b"application, /other, "
        assert answers[4] == b"look 1 at localhost"


async def test_request__known_while_another_is_held__waits_for_it(server: Server, connect: Any) -> None:
    client = await connect()
    await client.ask(GET)
    server.played.waits = True
    await client.send(GET, GET)
    (first,) = await held(server)
    server.played.waits = False
    reply(first, b"first")
    assert await client.answer() == b"first"
    # What is behind it is the application's, as behind any other.
    assert await client.answer() == b"application, /known, "
    assert await client.ask(GET) == b"look 1 at localhost"


async def test_memo__many_requests__the_last_ones_are_kept(connect: Any) -> None:
    client = await connect()
    for number in range(50):
        await client.ask(GET.replace(b"localhost", b"%d" % number))
        await client.ask(GET)
    assert len(protocol.known) <= 6
    # It was used all the time.
    assert await client.ask(GET) == b"look 2 at localhost"
    long = GET.replace(b"host:", b"x-a: %b\r\nhost:" % (b"a" * protocol.MAX_KNOWN_BYTES))
    kept = len(protocol.known)
    assert await client.ask(long) != await client.ask(long)
    assert len(protocol.known) == kept
    assert await client.ask(GET) == b"look 2 at localhost"


async def test_request__at_another_address__looked_at_anew_unless_that_is_all_the_same(
    server: Server, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = await connect(), await connect("127.0.0.2")
    await here.ask(GET)
    assert await there.ask(GET) == b"look 2 at localhost"
    assert [scope["server"][0] for scope in server.played.looked] == ["127.0.0.1", "127.0.0.2"]
    everywhere = shortcuts.Registered(server.played.shortcut, everywhere=True)
    monkeypatch.setitem(shortcuts.registered, b"/known", everywhere)
    await here.ask(OTHER)
    assert await there.ask(OTHER) == b"look 3 at localhosT"


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("when", ["at once", "later"])
async def test_request__that_its_shortcut_gives_back__is_the_applications(
    server: Server, connect: Any, known: bool, when: str
) -> None:
    client = await connect()
    if known:
        await (await connect()).ask(GET)
    server.played.declines, server.played.waits = when == "at once", when == "later"
    await client.send(GET)
    if when == "later":
        (waiting,) = await held(server)
        waiting.give_back()
    assert await client.answer() == b"application, /known, "
    (scope,) = server.application.scopes
    assert scope["client"] == client.writer.get_extra_info("sockname")[:2]
    assert scope["server"] == ("127.0.0.1", server.port)  # type: ignore[attr-defined]
    assert (scope["scheme"], scope["method"], scope["state"]) == ("http", "GET", {"of": "the server"})
    assert scope["headers"] == [(b"host", b"localhost")]
    assert await client.ask(b"GET /known?other HTTP/1.1\r\n\r\n") == b"application, /known, "


async def test_request__given_back_when_the_client_has_gone__nothing_happens(server: Server, connect: Any) -> None:
    server.played.waits = True
    client = await connect()
    await client.send(GET)
    (waiting,) = await held(server)
    (connection,) = server.state.connections
    # As in the moment between a reset and the server's knowing of it.
    connection.transport.abort()
    waiting.give_back()
    reply(waiting, b"late")
    await eventually(lambda: not server.state.connections)
    assert server.application.scopes == []


async def test_settings__changed__known_requests_are_looked_at_anew(connect: Any, settings: Any) -> None:
    client = await connect()
    await client.ask(GET)
    settings.REALTIME_STREAM_SECONDS = 7
    assert await client.ask(GET) == b"look 2 at localhost"


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
    monkeypatch.setattr(heads, "HEAD_SECONDS", clock.DAY)
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


@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("behind", ["rubbish", "a head without an end", "a head that lasts for ever"])
async def test_connection__ended_for_what_is_behind_a_held_request__that_one_is_answered_first(
    server: Server, connect: Any, monkeypatch: pytest.MonkeyPatch, known: bool, behind: str
) -> None:
    """A client would take anything else for the answer to it."""
    monkeypatch.setattr(heads, "MAX_HEAD_BYTES", 1_000)
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
        skip(heads.HEAD_SECONDS)
    connections: list[Any] = list(server.state.connections)
    await eventually(lambda: connections[0]._passes_over)
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
    await client.send(GET + other * 3 * heads.MOST_BEHIND)
    (waiting,) = await held(server)
    connections: list[Any] = list(server.state.connections)
    assert [len(connection.pipeline) for connection in connections] == [heads.MOST_BEHIND]
    reply(waiting, b"first")
    assert await client.answer() == b"first"
    for _ in range(heads.MOST_BEHIND):
        assert await client.answer() == b"application, /other, "
    assert await client.is_closed()


async def test_connection__idle_but_for_empty_lines__is_closed(server: Server, connect: Any) -> None:
    client = await connect()
    assert await client.ask(b"GET /other HTTP/1.1\r\n\r\n") == b"application, /other, "
    await client.send(b"\r\n")
    skip(server.config.timeout_keep_alive)
    assert await client.is_closed()
