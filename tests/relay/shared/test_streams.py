"""The rules of streams (S1 to S16), where the relay may differ: its keys, its versions, its CORS and its shutdown."""

from collections.abc import Iterator
from decimal import Decimal

import pytest
import requests

from tests.support import sse
from tests.support.patience import PATIENCE
from tests.support.relay import RelayServer
from tests.support.upstream import Environment, Upstream, seconds

BROWSER = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"


@pytest.fixture(scope="module")
def empty(upstream: Upstream) -> Environment:
    """An environment without a document so far."""
    made = upstream.add_environment("empty")
    made.answer = 500
    return made


@pytest.fixture(scope="module")
def relay(
    upstream: Upstream, shop: Environment, empty: Environment, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RelayServer]:
    variables = {"REALTIME_KEEPALIVE_SECONDS": "0.5", "REALTIME_REPEAT_SECONDS": "1"}
    configuration = {"allow_origins": ["https://only.example"]}
    with RelayServer(
        tmp_path_factory.mktemp("relay"), upstream.api_url, shop, empty, configuration=configuration, **variables
    ) as relay:
        yield relay


@pytest.mark.parametrize("key", ["shop", "empty", "nobody", "ser.shop", "a%2Fb", "%00"])
@pytest.mark.parametrize("suffix", ["", "/", "?lastEventId=12"])
def test_s1_s2_s3__any_key_and_query__200_and_only_unknown_ones_without_events(
    relay: RelayServer, key: str, suffix: str
) -> None:
    headers = {"Accept": "application/json", "Authorization": "Token nonsense", "X-Environment-Key": "nonsense"}
    with sse.connect(relay.port, key, headers, path="/sse/environments/{key}/stream" + suffix) as stream:
        assert stream.status == 200
        assert stream.headers["content-type"] == "text/event-stream"
        first = stream.next_block()
        assert first is not None
        assert not first.is_event
        if key == "shop":
            assert stream.next_event().updated_at > 0
        else:
            # Keep-alives follow, and the first comment has the reason.
            assert len(first.data) > 10
            for _ in range(2):
                following = stream.next_block()
                assert following is not None
                assert not following.is_event


def test_s4_s15__response__chunked_uncompressed_readable_by_any_origin(relay: RelayServer, shop: Environment) -> None:
    asked = {"Accept-Encoding": "gzip", "Origin": "https://other.example"}
    with relay.connect(shop, headers=asked) as stream:
        assert stream.headers["transfer-encoding"] == "chunked"
        assert "content-encoding" not in stream.headers
        assert stream.headers["cache-control"] == "no-cache"
        assert stream.headers["x-accel-buffering"] == "no"
        assert stream.headers["x-content-type-options"] == "nosniff"
        assert stream.headers["access-control-allow-origin"] == "*"


def test_s5_s6_s7__event__these_bytes_in_one_chunk(relay: RelayServer, shop: Environment) -> None:
    with relay.connect(shop) as stream:
        before = stream.next_event().updated_at
        shop.change()
        relay.post(shop)
        event = stream.event_after(before)
    data = f'event: environment_updated\ndata: {{"updated_at": {seconds(shop.version):.6f}}}\n\n'.encode()
    assert event.data == data
    assert data in [chunk.data for chunk in stream.chunks]
    lines = stream.body.decode().splitlines()
    assert all(not line or line.startswith((":", "event: environment_updated", "data: ")) for line in lines)


@pytest.mark.parametrize("agent, retry", [(BROWSER, True), ("Dart/3.4 (dart:io)", False), ("okhttp/4.12.0", False)])
def test_s8_s10__first_bytes__retry_for_browsers_512_bytes_of_comment_and_the_version(
    relay: RelayServer, shop: Environment, agent: str, retry: bool
) -> None:
    with relay.connect(shop, headers={"User-Agent": agent}) as stream:
        stream.next_block()
        assert stream.next_event().updated_at == seconds(shop.version)
        assert stream.body.startswith(b"retry: 1000\n") is retry
        comments = [line for line in stream.body.split(b"\n") if line.startswith(b":")]
        assert sum(map(len, comments)) >= 512


def test_s9__silence__comments(relay: RelayServer, shop: Environment) -> None:
    with relay.connect(shop) as stream:
        stream.next_event()
        assert stream.next_comment().data == b":\n\n"


def test_s12__faraday__ends_after_the_first_newer_event(relay: RelayServer, shop: Environment) -> None:
    with relay.connect(shop, headers={"User-Agent": "Faraday v2.7.4"}) as stream:
        before = stream.next_event().updated_at
        shop.change()
        relay.post(shop)
        stream.event_after(before)
        assert stream.end() is sse.End.CLEAN


def test_two_updates_close_together__the_last_is_repeated(relay: RelayServer, shop: Environment) -> None:
    with relay.connect(shop) as stream:
        known = stream.next_event().updated_at
        for _ in range(2):
            shop.change()
            relay.post(shop)
            known = stream.event_after(known).updated_at
        assert stream.next_event().updated_at == known


@pytest.mark.parametrize("method", ["POST", "PUT", "HEAD", "OPTIONS"])
def test_s2__another_method__200(relay: RelayServer, shop: Environment, method: str) -> None:
    with requests.request(
        method, f"{relay.url}/sse/environments/{shop.key}/stream", stream=True, timeout=PATIENCE
    ) as answer:
        assert answer.status_code == 200


@pytest.mark.slow
def test_environment_without_a_document__gets_one__open_streams_receive_it(
    relay: RelayServer, empty: Environment
) -> None:
    with relay.connect(empty) as stream:
        stream.next_comment()
        empty.answer = None
        empty.change()
        assert relay.post(empty) == 202
        assert stream.event_after(Decimal(0)).updated_at == seconds(empty.version)
