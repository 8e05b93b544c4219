"""Failover between two URLs of an upstream."""

from collections.abc import Callable, Iterator

import pytest

from realtime.relay import failover
from realtime.relay.configuration import Configuration
from realtime.relay.failover import FIRST_AGAIN_SECONDS, Failover
from realtime.relay.upstream import Upstream as Client
from realtime.relay.upstream import UpstreamError
from tests.relay.test_versions import NEW, newest
from tests.support.relay import RelayServer
from tests.support.upstream import DOCUMENT, Environment, Upstream, body, seconds

StartRelay = Callable[..., RelayServer]

FIRST, SECOND = "http://one", "http://two"


@pytest.fixture
def second(shop: Environment) -> Iterator[Upstream]:
    """Another server with the same environment."""
    with Upstream() as second:
        second.environments[shop.server_key] = shop
        yield second


def both(upstream: Upstream, second: Upstream) -> Client:
    return Client(Configuration((), api_urls=(upstream.api_url, second.api_url)))


def test_current__first_fails__second_until_the_first_succeeds_later() -> None:
    now = 100.0
    urls = Failover((FIRST, SECOND), lambda: now)
    assert urls.current() == FIRST
    urls.failed(FIRST)
    # Of a request that was sent before.
    urls.failed(FIRST)
    assert [urls.current(), urls.current()] == [SECOND, SECOND]

    now += FIRST_AGAIN_SECONDS
    # One request tries the first one, and fails.
    assert [urls.current(), urls.current()] == [FIRST, SECOND]
    urls.failed(FIRST)
    assert urls.current() == SECOND
    now += FIRST_AGAIN_SECONDS
    assert urls.current() == FIRST
    urls.succeeded(FIRST)
    assert [urls.current(), urls.current()] == [FIRST, FIRST]


def test_current__both_fail_or_there_is_one__each_is_tried() -> None:
    urls = Failover((FIRST, SECOND))
    urls.failed(FIRST)
    urls.failed(SECOND)
    assert urls.current() == FIRST
    one = Failover((FIRST,))
    one.failed(FIRST)
    assert one.current() == FIRST


async def test_document__first_url_fails__second_answers_and_the_first_is_tried_later(
    upstream: Upstream, second: Upstream, shop: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = both(upstream, second)
    upstream.stop()
    assert (await client.document(shop.server_key, None)).url == second.api_url
    upstream.start()
    assert (await client.document(shop.server_key, None)).url == second.api_url
    assert await client.send("POST", "analytics/flags/", shop.key, b"{}") == 200
    assert len(second.received("analytics/flags/")) == 1
    monkeypatch.setattr(failover, "FIRST_AGAIN_SECONDS", 0.0)
    second.stop()
    # The second fails, and the first is used at once.
    assert (await client.document(shop.server_key, None)).url == upstream.api_url
    upstream.stop()
    with pytest.raises(UpstreamError):
        await client.document(shop.server_key, None)
    with pytest.raises(UpstreamError):
        await client.send("POST", "analytics/flags/", shop.key, b"{}")
    await client.close()


async def test_send__first_url_is_busy__not_repeated_and_the_next_one_goes_to_the_second(
    upstream: Upstream, second: Upstream, shop: Environment
) -> None:
    client = both(upstream, second)
    upstream.statuses["analytics/flags/"] = 503
    with pytest.raises(UpstreamError) as failed:
        await client.send("POST", "analytics/flags/", shop.key, b"{}", version=2)
    assert failed.value.status == 503
    assert await client.send("POST", "analytics/flags/", shop.key, b"{}", version=2) == 200
    assert [each.path for each in second.received("flags/")] == ["/api/v2/analytics/flags/"]
    await client.close()


async def test_document__key_is_rejected__second_url_is_not_asked(
    upstream: Upstream, second: Upstream, shop: Environment
) -> None:
    client = both(upstream, second)
    shop.answer = 401
    with pytest.raises(UpstreamError):
        await client.document(shop.server_key, None)
    assert len(upstream.received(DOCUMENT)) == 1
    assert not second.received(DOCUMENT)
    await client.close()


@pytest.mark.slow
def test_upstream__first_of_two_stops__documents_and_events_of_the_second(
    start_relay: StartRelay, upstream: Upstream, second: Upstream, shop: Environment
) -> None:
    relay = start_relay(
        shop,
        configuration={"api_url": f"{upstream.api_url}/, {second.api_url}"},
        UPSTREAM_REALTIME_URL=f"{upstream.url},{second.url}",
    )
    upstream.wait_for_streams(shop.key)
    with relay.connect(shop) as stream:
        before = newest(stream)
        upstream.stop()
        second.wait_for_streams(shop.key)
        shop.change(banner=NEW)
        second.publish(shop)
        assert stream.event_after(before).updated_at == seconds(shop.version)
    assert relay.flags(shop)["banner"] == NEW


@pytest.mark.slow
def test_upstream__first_of_two_answers_with_garbage__document_of_the_second(
    start_relay: StartRelay, upstream: Upstream, second: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop, configuration={"api_url": f"{upstream.api_url},{second.api_url}"})
    broken = upstream.environments[shop.server_key] = Environment(shop.key, shop.server_key, shop.document)
    broken.answer = body(b"<html>")
    with relay.connect(shop) as stream:
        before = newest(stream)
        shop.change(banner=NEW)
        relay.post(shop)
        assert stream.event_after(before).updated_at == seconds(shop.version)
