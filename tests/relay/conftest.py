"""Fixtures of the relay's tests: an upstream under the test's control, and relays in processes of their own."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from redis import Redis as Client

from tests.support.redis import Redis
from tests.support.relay import RelayServer
from tests.support.upstream import Environment, Upstream


@pytest.fixture
def upstream() -> Iterator[Upstream]:
    with Upstream() as upstream:
        yield upstream


@pytest.fixture
def shop(upstream: Upstream) -> Environment:
    """An environment of the upstream, with the sample document."""
    return upstream.add_environment("shop")


@pytest.fixture
def redis(redis_server: Redis) -> Redis:
    """An empty Redis."""
    with Client.from_url(redis_server.url) as client:
        client.flushall()
    return redis_server


@pytest.fixture
def start_relay(tmp_path: Path, upstream: Upstream) -> Iterator[Callable[..., RelayServer]]:
    """A function that starts a relay with these environments of the upstream: ``start_relay(shop, configuration={})``.

    Relays are stopped at the end of the test.
    """
    with ExitStack() as stack:

        def start(*environments: Environment, folder: str = "relay", **options: object) -> RelayServer:
            (tmp_path / folder).mkdir(exist_ok=True)
            made = RelayServer(tmp_path / folder, upstream.api_url, *environments, **options)
            return stack.enter_context(made)

        yield start
