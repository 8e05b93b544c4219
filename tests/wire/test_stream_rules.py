"""The rules that the seven official SDKs impose on streams (docs/wire-protocol.md), on real sockets."""

import http.client
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from statistics import median

import pytest

from realtime.conf import RealtimeSettings
from realtime.types import TICK, epoch_seconds, reads_as_newer
from tests.support import sse
from tests.support.patience import PATIENCE
from tests.support.server import MOSTLY_UVICORN, ServerProcess
from tests.wire.conftest import FLAVOURS, REPEAT_SECONDS, Publisher

# The maximum duration of a stream of 3 s, or a drain of 12 s, on a busy machine. A stream of the default lasts longer.
MAX_SECONDS = 24.0

# If the machine stalls for half a second, the ends of streams are not spread.
ATTEMPTS = 5

# User-Agent headers, as these clients send them.
BROWSERS = ["Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"]
SHORT_LIVED = ["Dart/3.4 (dart:io)", "Faraday v2.7.4"]
OTHERS = ["okhttp/4.12.0", "App/1 CFNetwork/1494.0.7 Darwin/23.4.0", "Go-http-client/1.1", "x Mozilla/5.0", ""]

UNKNOWN = b"no environment has this key"

ACCEPTS = ["*/*", "text/event-stream", "application/json, text/event-stream", "application/json", "image/png"]


@pytest.mark.parametrize("accept", ACCEPTS)
def test_s1__any_accept_header_any_query_no_credentials__200_without_redirect(
    server: ServerProcess, environment: Publisher, accept: str
) -> None:
    for path in (
        "/sse/environments/{key}/stream",
        "/sse/environments/{key}/stream?lastEventId=12&x=%00",
        "/sse/environments/{key}/stream/",
    ):
        with sse.connect(server.port, environment.key, {"Accept": accept}, path=path) as stream:
            assert stream.status == 200
            assert stream.next_event().is_event


def test_s1__two_accept_lines_with_json_first__200(server: ServerProcess, environment: Publisher) -> None:
    headers = {"accept": "application/json", "ACCEPT": "text/event-stream"}
    with sse.connect(server.port, environment.key, headers) as stream:
        assert stream.status == 200
        assert stream.next_event().is_event


def test_s1__wrong_credentials__are_ignored(server: ServerProcess, environment: Publisher) -> None:
    headers = {"Authorization": "Token nonsense", "X-Environment-Key": "nonsense", "Cookie": "a=b"}
    with sse.connect(server.port, environment.key, headers) as stream:
        assert stream.status == 200
        assert stream.next_event().is_event


@pytest.mark.parametrize("key", ["unknown", "%20", "%C3%A9", "..", "a" * 3000, "%00", "a%0Ab", "%FF", "", "%2F"])
def test_s2__any_key__200_and_an_event_stream(server: ServerProcess, key: str) -> None:
    with sse.connect(server.port, key) as stream:
        assert (stream.status, stream.headers["content-type"]) == (200, "text/event-stream")


@pytest.mark.parametrize("method", ["POST", "PUT", "OPTIONS", "HEAD"])
def test_s2__another_method__200(server: ServerProcess, environment: Publisher, method: str) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.request(method, f"/sse/environments/{environment.key}/stream")
    assert connection.getresponse().status == 200
    connection.close()


@pytest.mark.slow
def test_s3__unknown_environment__only_comments_and_the_first_has_the_reason(short_streams: ServerProcess) -> None:
    body = b""
    # A slow machine may not have read the state before the stream ends.
    while UNKNOWN not in body:
        started = time.monotonic()
        body = whole_stream(short_streams, "unknown-key")
        assert 2.3 <= time.monotonic() - started <= MAX_SECONDS
        assert all(line.startswith(":") for line in body.decode().splitlines() if line)


def whole_stream(short_streams: ServerProcess, key: str) -> bytes:
    """A whole stream's body, up to its clean end."""
    with sse.connect(short_streams.port, key) as stream:
        assert stream.end() is sse.End.CLEAN
    return stream.body


def test_s4__response__chunked_neither_compressed_nor_buffered(server: ServerProcess, environment: Publisher) -> None:
    with sse.connect(server.port, environment.key, {"Accept-Encoding": "gzip, br"}) as stream:
        assert stream.head.startswith(b"HTTP/1.1 200")
        assert stream.headers["transfer-encoding"] == "chunked"
        assert stream.headers["cache-control"] == "no-cache"
        assert stream.headers["x-accel-buffering"] == "no"
        assert stream.headers["x-content-type-options"] == "nosniff"
        assert "content-encoding" not in stream.headers
        assert "content-length" not in stream.headers
        # At once, not with the first event or with a full buffer.
        assert stream.next_chunk() is not None


def test_s5__event__exactly_these_bytes(server: ServerProcess, environment: Publisher) -> None:
    with sse.connect(server.port, environment.key) as stream:
        stream.next_event()
        data = environment.publish()
        assert stream.next_event().data == f"event: environment_updated\ndata: {data}\n\n".encode()


def test_s6__event__one_chunk_in_one_segment(server: ServerProcess, environment: Publisher) -> None:
    with sse.connect(server.port, environment.key) as stream:
        version = stream.next_event().updated_at
        for _ in range(5):
            environment.publish()
            version = stream.event_after(version).updated_at
    events = [chunk.data for chunk in stream.chunks if b"event:" in chunk.data]
    assert len(events) >= 6
    assert all(event.startswith(b"event:") and event.endswith(b"\n\n") for event in events)
    # A read of a slow client may return several events, but no event is split.
    assert all(any(event in read.data for read in stream.reads) for event in events)


def test_s7__whole_stream__event_data_and_comment_lines_only(short_streams: ServerProcess) -> None:
    lines = [line for line in whole_stream_with_event(short_streams).decode().split("\n") if line]
    assert {line.partition(":")[0] for line in lines} == {"", "event", "data"}
    assert {line for line in lines if line.startswith("event")} == {"event: environment_updated"}
    assert all(line.startswith('data: {"updated_at": ') for line in lines if line.startswith("data"))


def test_s8__whole_stream__no_retry_line(short_streams: ServerProcess) -> None:
    assert b"retry" not in whole_stream_with_event(short_streams)


@pytest.mark.parametrize("agent", BROWSERS)
def test_s8__browser__retry_is_the_first_line_then_512_bytes_of_comment(
    server: ServerProcess, environment: Publisher, agent: str
) -> None:
    # The second request has the same bytes, so the server takes it from its cache.
    for _ in range(2):
        with sse.connect(server.port, environment.key, {"User-Agent": agent}) as stream:
            stream.next_event()
        opening = stream.body.partition(b"event:")[0]
        first, *others = [line for line in opening.split(b"\n") if line]
        assert first == b"retry: 1000"
        assert all(line.startswith(b":") for line in others)
        assert sum(map(len, others)) >= 512


@pytest.mark.parametrize("agent", [*SHORT_LIVED, *OTHERS])
def test_s8__any_other_client__no_retry_line(server: ServerProcess, environment: Publisher, agent: str) -> None:
    with sse.connect(server.port, environment.key, {"User-Agent": agent}) as stream:
        stream.next_event()
    assert b"retry" not in stream.body


def whole_stream_with_event(short_streams: ServerProcess) -> bytes:
    environment = Publisher(short_streams)
    environment.publish()
    body = b""
    # A slow machine may not have read the state before the stream ends.
    while b"event:" not in body:
        body = whole_stream(short_streams, environment.key)
    return body


def test_s9__silence__a_comment_in_each_interval(server: ServerProcess, environment: Publisher) -> None:
    with sse.connect(server.port, environment.key) as stream:
        stream.next_event()
        at = [stream.reads[-1].at]
        for _ in range(5):
            comment = stream.next_comment()
            assert comment.data == b":\n\n"
            at.append(comment.at)
    # Some may be late on a busy machine. With the default, each would take at least 8 s.
    assert median(later - earlier for earlier, later in pairwise(at)) < 4.0


def test_s9__default__at_most_15_seconds() -> None:
    assert RealtimeSettings.KEEPALIVE_SECONDS.default <= 15


def test_t6__version_that_go_parses_as_newer__printed_a_microsecond_lower(
    server: ServerProcess, environment: Publisher
) -> None:
    posted = datetime(2026, 6, 1, 12, tzinfo=UTC)
    while not reads_as_newer(posted):
        posted += TICK
    environment.post(posted)
    with sse.connect(server.port, environment.key) as stream:
        assert stream.next_event().fields["data"] == f'{{"updated_at": {epoch_seconds(posted - TICK)}}}'


def test_s10__each_connect__512_bytes_of_comment_then_the_newest_version(
    server: ServerProcess, environment: Publisher
) -> None:
    for _ in range(2):
        data = environment.publish()
        with sse.connect(server.port, environment.key) as stream:
            event = stream.next_event()
            assert event.fields["data"] == data
            opening = stream.body.partition(b"event:")[0]
            assert len(opening) >= 512
            assert all(line.startswith(b":") for line in opening.split(b"\n") if line)


def test_s11__forty_streams__end_cleanly_spread_over_the_last_fifth(
    short_streams: ServerProcess,
) -> None:
    environment = Publisher(short_streams)
    environment.publish()

    def duration(_: int) -> float:
        started = time.monotonic()
        with sse.connect(short_streams.port, environment.key) as stream:
            assert stream.end() is sse.End.CLEAN
        return time.monotonic() - started

    def are_spread() -> bool:
        with ThreadPoolExecutor(40) as pool:
            durations = sorted(pool.map(duration, range(40)))
        assert durations[0] >= 2.3
        assert durations[-1] <= MAX_SECONDS
        return durations[-1] - durations[0] >= 0.3

    assert any(are_spread() for _ in range(ATTEMPTS))


def test_s11__default__600_s_and_30_s_for_short_streams() -> None:
    assert RealtimeSettings.STREAM_SECONDS.default == 600
    assert RealtimeSettings().SHORT_STREAM_SECONDS == 30


def test_s12__faraday__ends_after_the_first_newer_event(server: ServerProcess, environment: Publisher) -> None:
    with sse.connect(server.port, environment.key, {"User-Agent": "Faraday v2.7.4"}) as stream:
        stream.next_event()
        data = environment.publish()
        # If it did not end, comments would follow.
        assert stream.end() is sse.End.CLEAN
        assert stream.body.endswith(f"data: {data}\n\n".encode())


def test_s12__faraday_without_an_update__lasts_the_full_duration(short_streams: ServerProcess) -> None:
    environment = Publisher(short_streams)
    environment.publish()
    started = time.monotonic()
    with sse.connect(short_streams.port, environment.key, {"User-Agent": "Faraday v1.0"}) as stream:
        assert stream.end() is sse.End.CLEAN
    assert time.monotonic() - started >= 2.3


def test_s12__faraday_before_the_first_version__ends_after_it(server: ServerProcess) -> None:
    environment = Publisher(server)
    with sse.connect(server.port, environment.key, {"User-Agent": "faraday"}) as stream:
        # On a slow machine, a comment that the state cannot be read yet may precede it.
        while UNKNOWN not in stream.next_comment().data:
            pass
        data = environment.publish()
        assert stream.end() is sse.End.CLEAN
        assert stream.body.count(b"event:") == 1
        assert stream.body.endswith(f"data: {data}\n\n".encode())


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_s13__shutdown__every_stream_ends_with_the_terminating_chunk(
    flavour: str, start_server: Callable[..., ServerProcess]
) -> None:
    server = start_server(flavour, REALTIME_DRAIN_SECONDS="1")
    streams = [sse.connect(server.port, f"key-{number}") for number in range(20)]
    server.stop()
    assert {stream.end() for stream in streams} == {sse.End.CLEAN}


@pytest.mark.parametrize("flavour", MOSTLY_UVICORN)
def test_s14__shutdown__streams_end_spread_over_the_window_and_new_ones_get_503_or_close(
    flavour: str, start_server: Callable[..., ServerProcess]
) -> None:
    # Long enough for the requests below on a busy machine.
    server = start_server(flavour, REALTIME_DRAIN_SECONDS="12")
    streams = [sse.connect(server.port, f"key-{number}") for number in range(30)]
    started = time.perf_counter()

    def ended(stream: sse.Stream) -> float:
        assert stream.end() is sse.End.CLEAN
        return time.perf_counter() - started

    with ThreadPoolExecutor(30) as pool:
        ending = pool.map(ended, streams)
        server.process.send(signal.SIGTERM)
        server.process.wait_for_log("drain_started")
        assert server.get("/health/readiness").status == 503
        # A proxy that can retry at another process gets 503.
        with sse.connect(server.port, "newcomer", {"X-Next-Upstream": "503"}) as retried:
            assert retried.status == 503
            assert retried.headers["connection"] == "close"
        with sse.connect(server.port, "newcomer") as newcomer:
            assert newcomer.status == 200
            assert newcomer.headers["connection"] == "close"
            assert newcomer.end() is sse.End.CLEAN
        ends = sorted(ending)
    server.process.wait()
    assert ends[-1] <= MAX_SECONDS
    spread = ends[-1] - ends[0]
    assert spread >= 2.5
    # Not only at the window's beginning and end.
    middle = [end for end in ends if ends[0] + spread / 6 < end < ends[-1] - spread / 6]
    assert len(middle) >= 8


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.slow
def test_s14__second_signal__ends_at_once(flavour: str, start_server: Callable[..., ServerProcess]) -> None:
    server = start_server(flavour, REALTIME_DRAIN_SECONDS="60")
    with sse.connect(server.port, "key") as stream:
        server.process.send(signal.SIGTERM)
        server.process.wait_for_log("drain_started")
        server.process.send(signal.SIGTERM)
        server.process.wait()
        assert stream.end() is sse.End.CLEAN


def test_s15__stream__readable_from_any_origin(server: ServerProcess, environment: Publisher) -> None:
    with sse.connect(server.port, environment.key, {"Origin": "https://app.example"}) as stream:
        assert stream.headers["access-control-allow-origin"] == "*"


def test_t2__times_out_of_order__the_greatest_is_replayed(server: ServerProcess, environment: Publisher) -> None:
    data = environment.publish(timedelta(hours=1))
    environment.publish(timedelta(hours=-2))
    with sse.connect(server.port, environment.key) as stream:
        assert stream.next_event().fields["data"] == data


def test_stream__two_updates_close_together__the_last_is_repeated_once(
    server: ServerProcess, environment: Publisher
) -> None:
    with sse.connect(server.port, environment.key) as stream:
        version = stream.next_event().updated_at
        are_close = False
        while not are_close:
            began = time.monotonic()
            for _ in range(2):
                environment.publish()
                version = stream.event_after(version).updated_at
            # On a busy machine they may be too far apart.
            are_close = time.monotonic() - began < REPEAT_SECONDS
        assert stream.next_event().updated_at == version
        repeated_at = time.monotonic()
        while time.monotonic() < repeated_at + 1.5 * REPEAT_SECONDS:
            block = stream.next_block()
            assert block is not None
            assert not block.is_event
