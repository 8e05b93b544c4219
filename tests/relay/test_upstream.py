"""The client of the upstream, in this process."""

from contextlib import AsyncExitStack

import pytest

from realtime.relay import upstream as client
from realtime.relay.configuration import Configuration
from realtime.relay.upstream import Upstream as Client
from realtime.relay.upstream import UpstreamError
from tests.support.upstream import Environment, Handler, Upstream


def busy(handler: Handler) -> None:
    handler.send_response(503)
    handler.send_header("Retry-After", "7")
    handler.send_header("Content-Length", "0")
    handler.end_headers()


async def test_document__upstream_is_busy__error_with_the_time(upstream: Upstream, shop: Environment) -> None:
    shop.answers.append(busy)
    made = Client(Configuration((), api_urls=(upstream.api_url,)))
    with pytest.raises(UpstreamError) as failed:
        await made.document(shop.server_key, None)
    await made.close()

    assert (failed.value.result, failed.value.status, failed.value.retry_after) == ("failed", 503, 7.0)


async def test_document__many_open_streams__fetched_on_one_connection(upstream: Upstream, shop: Environment) -> None:
    ports: set[int] = set()

    def answer(handler: Handler) -> None:
        ports.add(handler.client_address[1])
        handler.send_document(shop)

    shop.answer = answer
    urls = (upstream.api_url,)
    made = Client(Configuration((), api_urls=urls, upstream_realtime_urls=(upstream.url,)))
    async with AsyncExitStack() as streams:
        for _ in range(client.MAX_IDLE_CONNECTIONS + 1):
            await streams.enter_async_context(made.stream(shop.key))
        for _ in range(3):
            await made.document(shop.server_key, None)
    await made.close()

    assert len(ports) == 1


def slow(handler: Handler) -> None:
    """A byte of the document at a time."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    while not handler.upstream.released.wait(0.02):
        handler.wfile.write(b" ")
        handler.wfile.flush()


async def test_document__arrives_too_slowly__unreachable(
    upstream: Upstream, shop: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MAX_FETCH_SECONDS", 0.2)
    shop.answers.append(slow)
    made = Client(Configuration((), api_urls=(upstream.api_url,)))
    with pytest.raises(UpstreamError, match="more than"):
        await made.document(shop.server_key, None)
    await made.close()


async def test_document__larger_than_the_limit__refused(
    upstream: Upstream, shop: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "MAX_DOCUMENT_BYTES", 100)
    made = Client(Configuration((), api_urls=(upstream.api_url,)))
    with pytest.raises(UpstreamError) as failed:
        await made.document(shop.server_key, None)
    await made.close()

    assert failed.value.result == "invalid"
