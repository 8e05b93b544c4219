"""Streams beyond a limit: what their clients see, what they cost, and that nothing of them is kept."""

import asyncio
import resource
from collections.abc import Callable
from contextlib import AsyncExitStack
from functools import partial
from unittest import mock

import pytest
from pytest_django import Settings

from environments.models import Environment
from features.models import FeatureState
from realtime.delivery import hub, limits
from realtime.http import addresses
from realtime.types import EnvironmentKey
from tests.realtime.clock import skip
from tests.support import sse
from tests.support.asgi import Client, stream
from tests.support.patience import PATIENCE
from tests.support.server import ServerProcess

TRUSTED = "10.0.0.0/8, 2001:db8:1::/48, unix"


class Clients(AsyncExitStack):
    """Streams that are open until this is left."""

    async def open(self, key: str, headers: dict[str, str] | None = None) -> Client:
        client = await self.enter_async_context(stream(key, headers))
        await client.opened()
        return client


def reason(client: Client) -> str:
    """What the second chunk says."""
    return client.chunks[1].decode().strip()


def only(streams: hub.Hub, key: str) -> int:
    return streams.audience(EnvironmentKey(key))


@pytest.mark.parametrize(
    "peer, forwarded, trusted, expected",
    [
        ("192.0.2.1", "198.51.100.1", "", "192.0.2.1"),
        ("192.0.2.1", "198.51.100.1", TRUSTED, "192.0.2.1"),
        ("10.1.1.1", "198.51.100.1", TRUSTED, "198.51.100.1"),
        ("10.1.1.1", "198.51.100.1", ["10.0.0.0/8"], "198.51.100.1"),
        ("10.1.1.1", "", TRUSTED, "10.1.1.1"),
        ("10.1.1.1", "203.0.113.9, 198.51.100.1, 10.2.2.2,10.3.3.3", TRUSTED, "198.51.100.1"),
        ("10.1.1.1", "10.4.4.4, 10.2.2.2", TRUSTED, "10.4.4.4"),
        ("10.1.1.1", "203.0.113.9, unknown, 10.2.2.2", TRUSTED, "10.2.2.2"),
        ("10.1.1.1", "203.0.113.9" + ", 10.2.2.2" * 30, TRUSTED, "10.2.2.2"),
        ("10.1.1.1", "x" * 1000, TRUSTED, "10.1.1.1"),
        ("10.1.1.1", "198.51.100.1:4711", TRUSTED, "198.51.100.1"),
        ("10.1.1.1", "[2001:db8:2::1]:4711", TRUSTED, "2001:db8:2::"),
        ("::ffff:10.1.1.1", "2001:db8:2:0:ffff::1", TRUSTED, "2001:db8:2::"),
        ("2001:db8:1::7", "::ffff:198.51.100.1", TRUSTED, "198.51.100.1"),
        (None, "198.51.100.1", TRUSTED, "198.51.100.1"),
        (None, "198.51.100.1", "10.0.0.0/8", ""),
        ("no address", "198.51.100.1", TRUSTED, ""),
    ],
)
def test_address__proxies__the_last_that_none_of_them_speaks_for(
    settings: Settings, peer: str | None, forwarded: str, trusted: str | list[str], expected: str
) -> None:
    settings.REALTIME_TRUSTED_PROXIES = trusted
    *first, last = forwarded.split(",")
    headers = [(b"x-forwarded-for", value.encode()) for value in ([",".join(first)] if first else []) + [last]]
    scope = {"client": (peer, 1) if peer else None, "headers": headers if forwarded else []}
    assert addresses.of_scope(scope) == expected
    assert addresses.of_meta({"REMOTE_ADDR": peer or "", "HTTP_X_FORWARDED_FOR": forwarded}) == expected


@pytest.mark.django_db(transaction=True)
async def test_address__with_too_many_streams__the_next_is_held_until_its_end(
    streams: hub.Hub, settings: Settings, environment: Environment, state: FeatureState
) -> None:
    settings.REALTIME_MAX_STREAMS_PER_ADDRESS = 2
    settings.REALTIME_TRUSTED_PROXIES = "127.0.0.1"
    settings.REALTIME_STREAM_SECONDS = 6_000
    settings.REALTIME_KEEPALIVE_SECONDS = 5
    mine, other = {"x-forwarded-for": "192.0.2.1"}, {"x-forwarded-for": "192.0.2.2"}
    key = environment.api_key
    async with Clients() as clients:
        for _ in range(2):
            assert (await clients.open(key, mine)).events
        held = await clients.open(key, mine)
        assert reason(held).startswith(": this address has too many streams")
        assert (await clients.open(key, other)).events
        assert only(streams, key) == 3
        assert streams.limits.addresses == {"192.0.2.1": 2, "192.0.2.2": 1}
        # Half a minute, however long others live; it is kept alive and told nothing.
        for number in range(4):
            skip(5)
            await held.until(lambda client, number=number: len(client.chunks) >= number + 3)
        assert not held.ended
        skip(10)
        await held.until(lambda client: client.ended)
        assert held.sent[0]["status"] == 200
        assert set(held.chunks[2:]) == {b":\n\n", b""}
    assert (streams.limits.admitted, len(streams.rejected.subscribers), streams.limits.addresses) == (0, 0, {})
    async with Clients() as clients:
        assert (await clients.open(key, mine)).events


@pytest.mark.django_db(transaction=True)
async def test_environment__with_too_many_streams__the_next_is_held_and_others_are_not(
    streams: hub.Hub, settings: Settings, environment: Environment, production: Environment
) -> None:
    settings.REALTIME_MAX_STREAMS_PER_ENVIRONMENT = 1
    async with Clients() as clients:
        assert (await clients.open(environment.api_key)).events
        assert reason(await clients.open(environment.api_key)).startswith(": this environment has too many streams")
        assert (await clients.open(production.api_key)).events
        # The drain ends them all.
        await asyncio.wait_for(streams.drain(0.05), PATIENCE)
        assert not streams.rejected.subscribers


@pytest.mark.django_db(transaction=True)
async def test_process__full__held_while_there_is_room_and_then_ended_at_once(
    streams: hub.Hub, settings: Settings, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "open_files", lambda: 40)
    settings.REALTIME_MAX_STREAMS = 3
    assert limits.most_streams(40) == (18, 2)
    async with Clients() as clients:
        for _ in range(3):
            assert (await clients.open(environment.api_key)).events
        reads = streams.reader.ask
        monkeypatch.setattr(streams.reader, "ask", None)
        held = [await clients.open(environment.api_key) for _ in range(2)]
        over = await clients.open(environment.api_key)
        await over.until(lambda client: client.ended)
        monkeypatch.setattr(streams.reader, "ask", reads)
        assert {reason(client) for client in (*held, over)} == {reason(over)}
        assert reason(over).startswith(": this server has too many streams")
        assert over.sent[0]["status"] == 200
        assert not any(client.ended for client in held)
    assert (streams.open, streams.limits.admitted, len(streams.rejected.subscribers)) == (0, 0, 0)


@pytest.mark.parametrize("setting", ["MAX_NEW_STREAMS_PER_SECOND", "MAX_NEW_STREAMS_PER_SECOND_PER_ADDRESS"])
@pytest.mark.django_db(transaction=True)
async def test_rate__exceeded__held_for_a_part_of_an_age(
    streams: hub.Hub, settings: Settings, environment: Environment, setting: str
) -> None:
    settings.REALTIME_STREAM_SECONDS = 3_000
    setattr(settings, f"REALTIME_{setting}", 0.1)
    async with Clients() as clients:
        opened = [await clients.open(environment.api_key) for _ in range(7)]
        held = [client for client in opened if not client.events]
        # What half a minute allows, however long streams live, and the one that is always allowed.
        assert len(held) == 3
        assert reason(held[0]).startswith(": too many streams begin at the moment")


def test_age__of_what_came_too_fast__any_part_of_an_age_so_that_no_herd_comes_back() -> None:
    too_fast, too_many = [[limits.age(kind) for _ in range(500)] for kind in ("rate", "address")]
    assert 0.2 <= min(too_fast) < 0.3
    assert min(too_many) >= 0.8
    assert max(*too_fast, *too_many) <= 1


def test_log__many_that_meet_limits__one_line_for_each_limit_and_minute(caplog: pytest.LogCaptureFixture) -> None:
    timers: list[Callable[[], None]] = []
    loop = mock.Mock(call_later=lambda seconds, call, kind: timers.append(partial(call, kind)))
    log = limits.Log(loop)

    def lines() -> list[str]:
        """Those that have come since."""
        told = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return told

    for kind in ("rate", "address", "rate", "rate"):
        log.count(kind)
    rate, address = lines()
    assert "'limit': 'rate', 'streams': 1" in rate
    assert "'limit': 'address', 'streams': 1" in address
    timers[0]()
    assert ["'limit': 'rate', 'streams': 2" in line for line in lines()] == [True]
    timers[2]()
    assert lines() == []
    log.count("rate")
    assert len(lines()) == 1


def test_rates__bucket__refills_and_is_forgotten_when_it_is_full() -> None:
    now = 1000.0
    rates = limits.Rates(lambda: now)
    take: Callable[[], bool] = lambda: rates.take("a", rate=2, burst_seconds=5)  # noqa: E731
    assert [take() for _ in range(12)] == [True] * 11 + [False]
    now += 0.5
    assert [take(), take()] == [True, False]
    now += 5.5
    # Another generation: the bucket is known all the same, and has refilled.
    assert [take() for _ in range(12)] == [True] * 11 + [False]
    for name in range(100):
        rates.take(str(name), rate=2, burst_seconds=5)
    assert len(rates) == 101
    now += 5
    rates.take("b", rate=2, burst_seconds=5)
    assert len(rates) == 102
    now += 5
    rates.take("b", rate=2, burst_seconds=5)
    assert len(rates) == 1
    now += 100
    rates.take("c", rate=2, burst_seconds=5)
    assert len(rates) == 1


@pytest.mark.parametrize(
    "files, streams, held", [(40, 18, 2), (1024, 830, 92), (20_000, 16_200, 1_800), (1_048_576, 941_919, 104_657)]
)
def test_open_files__process__a_reserve_and_room_to_hold_are_left(files: int, streams: int, held: int) -> None:
    assert limits.most_streams(files) == (streams, held)


def test_open_files__without_a_limit__very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert limits.open_files() == 2**31


def test_open_files__more_streams_than_they_allow__every_answer_is_200_and_the_api_goes_on(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server(REALTIME_MAX_STREAMS_PER_ADDRESS="1", REALTIME_TRUSTED_PROXIES="127.0.0.1")
    files = 160
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (files, files))
    most, room = limits.most_streams(files)
    numbers = [0, *range(most + room + 19)]
    opened = [sse.connect(server.port, "nobody", {"X-Forwarded-For": f"192.0.2.{number}"}) for number in numbers]
    assert {stream.status for stream in opened} == {200}
    assert {stream.headers["content-type"] for stream in opened} == {"text/event-stream"}
    told = [stream.next_comment().data + stream.next_comment().data for stream in opened]
    assert sum(b"no environment has this key" in text for text in told) == most
    assert b"this address has too many streams" in told[1]
    assert sum(b"this server has too many streams" in text for text in told) == room + 19
    assert {stream.end() for stream in opened[most + room :]} == {sse.End.CLEAN}
    assert not any(stream.ended for stream in opened[: most + room])
    assert server.get("/health/readiness").status == 200
    assert server.get("/api/v1/flags/").status == 403
    for client in opened:
        client.close()
