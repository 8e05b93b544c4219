"""A changed configuration of a relay with several processes."""

from collections.abc import Callable

import pytest

from tests.support.relay import RelayServer, pairs
from tests.support.upstream import Environment, Upstream


@pytest.mark.slow
def test_hup__workers__all_have_the_new_key_and_streams_stay_open(
    start_relay: Callable[..., RelayServer], upstream: Upstream, shop: Environment
) -> None:
    relay = start_relay(shop, WEB_CONCURRENCY="2")
    with relay.connect(shop) as stream:
        first = stream.next_event().updated_at
        other = upstream.add_environment("other")
        relay.write(environment_key_pairs=pairs(shop, other))
        relay.reload()
        # Each request has a connection of its own, which any process may accept.
        relay.process.wait_until(
            lambda: {relay.request("GET", "flags/", other.key).status_code for _ in range(10)} == {200}
        )

        # A restarted process would have ended it.
        shop.change(banner=(True, "new"))
        relay.post(shop)
        assert stream.event_after(first).updated_at > first
