"""Trees of relays: an upstream, two relays behind it, and four relays behind those, with streams at the last level."""

import time
from collections.abc import Callable

import pytest

from tests.faults.contention import Contention
from tests.relay.test_versions import assert_silent, newest
from tests.support.relay import RelayServer
from tests.support.upstream import Environment, Upstream, seconds

StartRelay = Callable[..., RelayServer]

POLLING = {"api_poll_frequency_seconds": 1}

# From the return of a relay until all streams have the newest version: a poll, and a second.
MAX_RECOVERY_SECONDS = 2.0


def behind(start_relay: StartRelay, shop: Environment, folder: str, *upstreams: RelayServer | Upstream) -> RelayServer:
    """A relay behind one of these, or two."""
    configuration = {**POLLING, "api_url": ",".join(f"{each.url}/api/v1" for each in upstreams)}
    urls = ",".join(each.url for each in upstreams)
    return start_relay(shop, folder=folder, configuration=configuration, UPSTREAM_REALTIME_URL=urls)


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("has_sibling", [False, True], ids=["one upstream", "two upstreams"])
def test_tree__relay_between_killed__streams_stay_open_and_have_the_newest_version_after_its_return(
    start_relay: StartRelay, upstream: Upstream, shop: Environment, has_sibling: bool
) -> None:
    killed, other = (behind(start_relay, shop, f"between {number}", upstream) for number in range(2))
    leaves = [
        behind(start_relay, shop, f"leaf {number}", *((of, sibling) if has_sibling else (of,)))
        for number, (of, sibling) in enumerate([(killed, other), (other, killed)] * 2)
    ]
    streams = [leaf.connect(shop) for leaf in leaves for _ in range(2)]
    before = {newest(stream) for stream in streams}
    assert before == {seconds(shop.version)}
    upstream.wait_for_streams(shop.key, 2)
    first = seconds(shop.change(banner=(True, "all levels")))
    upstream.publish(shop)
    for stream in streams:
        assert stream.event_after(first - 1).updated_at == first

    killed.process.kill()
    version = seconds(shop.change(banner=(True, "without it")))
    upstream.publish(shop)
    # Streams 0, 1, 4 and 5 are at the leaves of the killed relay.
    of_killed = [streams[number] for number in (0, 1, 4, 5)]
    for stream in streams:
        if all(stream is not each for each in of_killed):
            assert stream.event_after(first).updated_at == version
    if not has_sibling:
        assert_silent(of_killed[0])
        killed.start()
    with Contention() as contention:
        began = time.monotonic()
        for stream in of_killed:
            assert stream.event_after(first).updated_at == version
        elapsed = time.monotonic() - began
    assert elapsed - contention.seconds <= MAX_RECOVERY_SECONDS
    assert [stream.ended for stream in streams] == [None] * len(streams)
    assert {leaf.flags(shop)["banner"] for leaf in leaves} == {(True, "without it")}
    for stream in streams:
        stream.close()
