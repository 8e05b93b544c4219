"""Streams over a limit: their responses, their cost, and that nothing of them remains."""

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
    """Context manager of streams, which stay open until its exit."""

    async def open(self, key: str, headers: dict[str, str] | None = None) -> Client:
        client = await self.enter_async_context(stream(key, headers))
        await client.opened()
        return client


def reason(client: Client) -> str:
    """The text of the second chunk."""
    return client.chunks[1].decode().strip()


def number_of_streams(streams: hub.Hub, key: str) -> int:
    return streams.stream_count(EnvironmentKey(key))


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
def test_address__trusted_proxies__last_untrusted_address(
    settings: Settings, peer: str | None, forwarded: str, trusted: str | list[str], expected: str
) -> None:
    settings.REALTIME_TRUSTED_PROXIES = trusted
    *first, last = forwarded.split(",")
    headers = [(b"x-forwarded-for", value.encode()) for value in ([",".join(first)] if first else []) + [last]]
    scope = {"client": (peer, 1) if peer else None, "headers": headers if forwarded else []}
    assert addresses.of_scope(scope) == expected
    assert addresses.of_meta({"REMOTE_ADDR": peer or "", "HTTP_X_FORWARDED_FOR": forwarded}) == expected


@pytest.mark.django_db(transaction=True)
async def test_limit_per_address__exceeded__stream_gets_only_the_reason_for_half_a_minute(
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
        rejected = await clients.open(key, mine)
        assert reason(rejected).startswith(": this address has too many streams")
        assert (await clients.open(key, other)).events
        assert number_of_streams(streams, key) == 3
        assert streams.limits.addresses == {"192.0.2.1": 2, "192.0.2.2": 1}
        # It is open for half a minute, whatever the age of others, and gets only keep-alives.
        for number in range(4):
            skip(5)
            await rejected.until(lambda client, number=number: len(client.chunks) >= number + 3)
        assert not rejected.ended
        skip(10)
        await rejected.until(lambda client: client.ended)
        assert rejected.sent[0]["status"] == 200
        assert set(rejected.chunks[2:]) == {b":\n\n", b""}
    assert (streams.limits.admitted, len(streams.rejected.subscribers), streams.limits.addresses) == (0, 0, {})
    async with Clients() as clients:
        assert (await clients.open(key, mine)).events


@pytest.mark.django_db(transaction=True)
async def test_limit_per_environment__exceeded__stream_is_rejected_and_other_environments_are_not(
    streams: hub.Hub, settings: Settings, environment: Environment, production: Environment
) -> None:
    settings.REALTIME_MAX_STREAMS_PER_ENVIRONMENT = 1
    async with Clients() as clients:
        assert (await clients.open(environment.api_key)).events
        assert reason(await clients.open(environment.api_key)).startswith(": this environment has too many streams")
        assert (await clients.open(production.api_key)).events
        # A drain ends rejected streams, too.
        await asyncio.wait_for(streams.drain(0.05), PATIENCE)
        assert not streams.rejected.subscribers


@pytest.mark.django_db(transaction=True)
async def test_limit_per_process__exceeded__streams_rejected_and_beyond_the_reserve_ended_at_once(
    streams: hub.Hub, settings: Settings, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(limits, "open_files", lambda: 40)
    settings.REALTIME_MAX_STREAMS = 3
    assert limits.max_streams(40) == (18, 2)
    async with Clients() as clients:
        for _ in range(3):
            assert (await clients.open(environment.api_key)).events
        real_submit = streams.reader.submit
        monkeypatch.setattr(streams.reader, "submit", None)
        rejected = [await clients.open(environment.api_key) for _ in range(2)]
        over = await clients.open(environment.api_key)
        await over.until(lambda client: client.ended)
        monkeypatch.setattr(streams.reader, "submit", real_submit)
        assert {reason(client) for client in (*rejected, over)} == {reason(over)}
        assert reason(over).startswith(": this server has too many streams")
        assert over.sent[0]["status"] == 200
        assert not any(client.ended for client in rejected)
    assert (streams.open_count, streams.limits.admitted, len(streams.rejected.subscribers)) == (0, 0, 0)


@pytest.mark.parametrize("setting", ["MAX_NEW_STREAMS_PER_SECOND", "MAX_NEW_STREAMS_PER_SECOND_PER_ADDRESS"])
@pytest.mark.django_db(transaction=True)
async def test_limit_rate__exceeded__streams_are_rejected(
    streams: hub.Hub, settings: Settings, environment: Environment, setting: str
) -> None:
    settings.REALTIME_STREAM_SECONDS = 3_000
    setattr(settings, f"REALTIME_{setting}", 0.1)
    async with Clients() as clients:
        opened = [await clients.open(environment.api_key) for _ in range(7)]
        rejected = [client for client in opened if not client.events]
        # Four are admitted: three for 30 seconds of the rate, and one more.
        assert len(rejected) == 3
        assert reason(rejected[0]).startswith(": too many streams begin at the moment")


def test_rejected_stream_age__rate_or_number__in_its_range() -> None:
    too_fast, too_many = [[limits.rejected_stream_age(kind) for _ in range(500)] for kind in ("rate", "address")]
    assert 0.2 <= min(too_fast) < 0.3
    assert min(too_many) >= 0.8
    assert max(*too_fast, *too_many) <= 1


def test_limit_log__many_rejected_streams__one_line_per_limit_and_minute(caplog: pytest.LogCaptureFixture) -> None:
    timers: list[Callable[[], None]] = []
    loop = mock.Mock(call_later=lambda seconds, call, kind: timers.append(partial(call, kind)))
    log = limits.LimitLog(loop)

    def lines() -> list[str]:
        """The lines logged since the last call."""
        messages = [record.getMessage() for record in caplog.records]
        caplog.clear()
        return messages

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


def test_token_buckets__bucket__refills_and_is_dropped_when_full() -> None:
    now = 1000.0
    rates = limits.TokenBuckets(lambda: now)
    take: Callable[[], bool] = lambda: rates.take("a", rate=2, burst_seconds=5)  # noqa: E731
    assert [take() for _ in range(12)] == [True] * 11 + [False]
    now += 0.5
    assert [take(), take()] == [True, False]
    now += 5.5
    # In the next generation the bucket still exists, and has refilled.
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
    "files, streams, rejected", [(40, 18, 2), (1024, 830, 92), (20_000, 16_200, 1_800), (1_048_576, 941_919, 104_657)]
)
def test_max_streams__open_files__leaves_a_reserve_and_files_for_rejected_streams(
    files: int, streams: int, rejected: int
) -> None:
    assert limits.max_streams(files) == (streams, rejected)


def test_open_files__no_limit__very_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda which: (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    assert limits.open_files() == 2**31


def test_open_files__more_streams_than_allowed__all_get_200_and_the_api_works(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server(REALTIME_MAX_STREAMS_PER_ADDRESS="1", REALTIME_TRUSTED_PROXIES="127.0.0.1")
    files = 160
    resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (files, files))
    admitted, rejected = limits.max_streams(files)
    numbers = [0, *range(admitted + rejected + 19)]
    opened = [sse.connect(server.port, "unknown", {"X-Forwarded-For": f"192.0.2.{number}"}) for number in numbers]
    assert {stream.status for stream in opened} == {200}
    assert {stream.headers["content-type"] for stream in opened} == {"text/event-stream"}
    comments = [stream.next_comment().data + stream.next_comment().data for stream in opened]
    assert sum(b"no environment has this key" in text for text in comments) == admitted
    assert b"this address has too many streams" in comments[1]
    assert sum(b"this server has too many streams" in text for text in comments) == rejected + 19
    assert {stream.end() for stream in opened[admitted + rejected :]} == {sse.End.CLEAN}
    assert not any(stream.ended for stream in opened[: admitted + rejected])
    assert server.get("/health/readiness").status == 200
    assert server.get("/api/v1/flags/").status == 403
    for client in opened:
        client.close()
