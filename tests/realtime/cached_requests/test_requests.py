"""Cached requests: one with the bytes of an earlier request is not parsed, and gets the same response as if it were."""

from typing import Any

import pytest

from realtime.http import protocol, shortcuts
from tests.realtime import clock
from tests.realtime.cached_requests.fakes import GET, OTHER, Server, deferred_responses, reply
from tests.support.asgi import eventually

# Each test runs on both kinds of transports.
LOOPS = clock.LOOPS


async def test_request__same_bytes_on_any_connection__parsed_once(server: Server, connect: Any) -> None:
    first, second = await connect(), await connect()
    for client in (first, first, second, first, second):
        assert await client.request(GET) == b"response 1 for localhost"
    assert server.state.total_requests == 5
    assert not {"client", "state"} & set(server.shortcut.scopes[0])


async def test_request__same_bytes__shortcut_gets_each_clients_scope(server: Server, connect: Any) -> None:
    server.shortcut.responds_with_port = True
    for client in (await connect(), await connect()):
        assert await client.request(GET) == b"%d" % client.writer.get_extra_info("sockname")[1]


async def test_request__one_byte_differs__parsed(connect: Any) -> None:
    client = await connect()
    assert await client.request(GET) == b"response 1 for localhost"
    assert await client.request(OTHER) == b"response 2 for localhosT"
    assert await client.request(GET) == b"response 1 for localhost"


@pytest.mark.parametrize("length", [1, len(GET) // 2, len(GET) - 1])
async def test_request__cached_but_in_pieces__answered_once(connect: Any, length: int) -> None:
    client = await connect()
    for _ in range(2):
        assert (await client.request(GET)).endswith(b"for localhost")
        assert (await client.request(GET[:length], GET[length:])).endswith(b"for localhost")


async def test_request__cached_bytes_inside_another_request__are_part_of_that(server: Server, connect: Any) -> None:
    client = await connect()
    await client.request(GET)
    # The value of a header, and a body.
    assert await client.request(b"GET /other HTTP/1.1\r\nx-a: ", GET) == b"application, /other, "
    assert (b"x-a", b"GET /cached HTTP/1.1") in server.application.scopes[0]["headers"]
    post = b"POST /other HTTP/1.1\r\ncontent-length: %d\r\n\r\n" % len(GET)
    assert await client.request(post, GET) == b"application, /other, " + GET
    assert await client.request(GET) == b"response 1 for localhost"


async def test_request__with_a_body__not_cached(connect: Any) -> None:
    client = await connect()
    await client.request(GET)
    head = GET.replace(b"host:", b"content-length: %d\r\nhost:" % len(GET))
    for number in (2, 3):
        assert await client.request(head, GET) == b"response %d for localhost" % number
    assert await client.request(GET) == b"response 1 for localhost"


async def test_request__cached_and_pipelined_with_others__answered_in_order(server: Server, connect: Any) -> None:
    client = await connect()
    await client.request(GET)
    for _ in range(2):
        await client.send(GET + OTHER, GET + b"GET /oth", b"er HTTP/1.1\r\n\r\n", GET)
        answers = [await client.answer() for _ in range(5)]
        assert [answer[-13:] for answer in answers[:3]] == [b"for localhost", b"for localhosT", b"for localhost"]
        assert answers[3] == b"application, /other, "
        assert answers[4] == b"response 1 for localhost"


async def test_request__cached_after_a_deferred_response__waits_for_it(server: Server, connect: Any) -> None:
    client = await connect()
    await client.request(GET)
    server.shortcut.defers = True
    await client.send(GET, GET)
    (first,) = await deferred_responses(server)
    server.shortcut.defers = False
    reply(first, b"first")
    assert await client.answer() == b"first"
    # A request after a deferred response goes to the application.
    assert await client.answer() == b"application, /cached, "
    assert await client.request(GET) == b"response 1 for localhost"


async def test_request_cache__many_requests__latest_ones_are_kept(connect: Any) -> None:
    client = await connect()
    for number in range(50):
        await client.request(GET.replace(b"localhost", b"%d" % number))
        await client.request(GET)
    assert len(protocol.cached_requests) <= 6
    # It was used between the others.
    assert await client.request(GET) == b"response 2 for localhost"
    long = GET.replace(b"host:", b"x-a: %b\r\nhost:" % (b"a" * protocol.MAX_CACHED_BYTES))
    kept = len(protocol.cached_requests)
    assert await client.request(long) != await client.request(long)
    assert len(protocol.cached_requests) == kept
    assert await client.request(GET) == b"response 2 for localhost"


async def test_request__at_another_address__parsed_unless_the_shortcut_ignores_it(
    server: Server, connect: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = await connect(), await connect("127.0.0.2")
    await here.request(GET)
    assert await there.request(GET) == b"response 2 for localhost"
    assert [scope["server"][0] for scope in server.shortcut.scopes] == ["127.0.0.1", "127.0.0.2"]
    everywhere = shortcuts.RegisteredShortcut(server.shortcut.find, any_endpoint=True)
    monkeypatch.setitem(shortcuts.registered_gets, b"/cached", everywhere)
    await here.request(OTHER)
    assert await there.request(OTHER) == b"response 3 for localhosT"


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("when", ["at once", "later"])
async def test_request__shortcut_declines__application_answers(
    server: Server, connect: Any, cached: bool, when: str
) -> None:
    client = await connect()
    if cached:
        await (await connect()).request(GET)
    server.shortcut.declines, server.shortcut.defers = when == "at once", when == "later"
    await client.send(GET)
    if when == "later":
        (waiting,) = await deferred_responses(server)
        waiting.fall_back()
    assert await client.answer() == b"application, /cached, "
    (scope,) = server.application.scopes
    assert scope["client"] == client.writer.get_extra_info("sockname")[:2]
    assert scope["server"] == ("127.0.0.1", server.port)  # type: ignore[attr-defined]
    assert (scope["scheme"], scope["method"], scope["state"]) == ("http", "GET", {"of": "the server"})
    assert scope["headers"] == [(b"host", b"localhost")]
    assert await client.request(b"GET /cached?other HTTP/1.1\r\n\r\n") == b"application, /cached, "


async def test_request__shortcut_declines_after_a_disconnect__nothing_happens(server: Server, connect: Any) -> None:
    server.shortcut.defers = True
    client = await connect()
    await client.send(GET)
    (waiting,) = await deferred_responses(server)
    (connection,) = server.state.connections
    # As between a reset and its notification to the server.
    connection.transport.abort()
    waiting.fall_back()
    reply(waiting, b"late")
    await eventually(lambda: not server.state.connections)
    assert server.application.scopes == []


async def test_settings__changed__cached_requests_are_parsed_again(connect: Any, settings: Any) -> None:
    client = await connect()
    await client.request(GET)
    settings.REALTIME_STREAM_SECONDS = 7
    assert await client.request(GET) == b"response 2 for localhost"
