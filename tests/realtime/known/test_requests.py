"""Requests with the very bytes of one before are answered without being parsed: as if they had been, in every case."""

from typing import Any

import pytest

from realtime.http import protocol, shortcuts
from tests.realtime import clock
from tests.realtime.known.played import GET, OTHER, Server, held, reply
from tests.support.asgi import eventually

# Each test runs on both kinds of transports.
LOOPS = clock.LOOPS


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
    assert len(protocol.cached_requests) <= 6
    # It was used all the time.
    assert await client.ask(GET) == b"look 2 at localhost"
    long = GET.replace(b"host:", b"x-a: %b\r\nhost:" % (b"a" * protocol.MAX_CACHED_BYTES))
    kept = len(protocol.cached_requests)
    assert await client.ask(long) != await client.ask(long)
    assert len(protocol.cached_requests) == kept
    assert await client.ask(GET) == b"look 2 at localhost"


async def test_request__at_another_address__looked_at_anew_unless_that_is_all_the_same(
    server: Server, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = await connect(), await connect("127.0.0.2")
    await here.ask(GET)
    assert await there.ask(GET) == b"look 2 at localhost"
    assert [scope["server"][0] for scope in server.played.looked] == ["127.0.0.1", "127.0.0.2"]
    everywhere = shortcuts.RegisteredShortcut(server.played.shortcut, any_endpoint=True)
    monkeypatch.setitem(shortcuts.registered_gets, b"/known", everywhere)
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
        waiting.fall_back()
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
    waiting.fall_back()
    reply(waiting, b"late")
    await eventually(lambda: not server.state.connections)
    assert server.application.scopes == []


async def test_settings__changed__known_requests_are_looked_at_anew(connect: Any, settings: Any) -> None:
    client = await connect()
    await client.ask(GET)
    settings.REALTIME_STREAM_SECONDS = 7
    assert await client.ask(GET) == b"look 2 at localhost"
