"""GRIP in relays: the one that fetches a version publishes it, and a proxy holds the streams."""

from collections.abc import Callable

import pytest
import requests

from tests.realtime.test_grip import channel_of, items, signature, url_of
from tests.relay.test_versions import NEW
from tests.support.patience import PATIENCE
from tests.support.receiver import Receiver
from tests.support.redis import Redis
from tests.support.relay import RelayServer
from tests.support.upstream import Environment, seconds

StartRelay = Callable[..., RelayServer]


@pytest.mark.slow
def test_relays__grip_proxy_and_a_common_redis__version_is_published_once_and_streams_are_held(
    start_relay: StartRelay, shop: Environment, redis: Redis
) -> None:
    with Receiver() as proxy:
        relays = [
            start_relay(shop, folder=name, GRIP_URL=url_of(proxy), REDIS_URL=redis.url) for name in ("one", "other")
        ]
        # The documents at the start of the first one.
        assert channel_of(proxy.next()) == f"events-realtime-environment-{shop.key}"
        for _ in range(2):
            shop.change(banner=NEW)
            assert relays[0].post(shop) == 202
            (published,) = items(proxy.next())
            assert str(seconds(shop.version)) in published["http-stream"]["content"]

        url = f"{relays[0].url}/sse/environments/{shop.key}/stream"
        held = requests.get(url, headers={"Grip-Sig": signature()}, timeout=PATIENCE)
        assert held.headers["Grip-Channel"] == published["channel"]
        assert held.text.endswith(published["http-stream"]["content"])
