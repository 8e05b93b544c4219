"""Several processes of a relay with a common storage: I3 holds for all of them."""

import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from signal import SIGCONT, SIGSTOP

import pytest

from realtime.relay.environments import MAX_SHARE_SECONDS
from tests.relay.test_versions import newest
from tests.support.redis import Redis
from tests.support.relay import RelayServer
from tests.support.upstream import Environment, seconds

StartRelay = Callable[..., RelayServer]

CHANGES = 12

# Shorter than the time that an event waits for.
STOPPED_SECONDS = 0.3


@pytest.fixture(params=["directory", "redis"])
def relays(
    request: pytest.FixtureRequest, start_relay: StartRelay, shop: Environment, tmp_path: Path
) -> list[RelayServer]:
    """Two relays with a common directory, or on a common Redis."""
    variables = {"RELAY_STATE_DIR": str(tmp_path / "state")}
    if request.param == "redis":
        redis: Redis = request.getfixturevalue("redis")
        variables = {"REDIS_URL": redis.url}
    return [start_relay(shop, folder=name, **variables) for name in ("one", "other")]


@pytest.mark.slow
def test_event__other_process_is_slow__reads_from_every_process_have_its_version(
    relays: list[RelayServer], shop: Environment
) -> None:
    with ExitStack() as stack:
        streams = [stack.enter_context(relay.connect(shop)) for relay in relays]
        known = [newest(stream) for stream in streams]
        for number in range(CHANGES):
            posted_to, slow = relays[number % 2], relays[1 - number % 2]
            value = f"value {number}"
            shop.change(banner=(True, value))
            slow.process.send(SIGSTOP)
            threading.Timer(STOPPED_SECONDS, slow.process.send, [SIGCONT]).start()
            posted_at = time.perf_counter()
            assert posted_to.post(shop) == 202
            for index, stream in enumerate(streams):
                event = stream.event_after(known[index])
                assert event.updated_at == seconds(shop.version)
                read = [relay.flags(shop)["banner"] for relay in relays]
                # On a machine that is too slow, the event does not wait any longer.
                assert read == [(True, value)] * 2 or event.at > posted_at + MAX_SHARE_SECONDS
                with relays[1 - index].connect(shop) as late:
                    late.event_after(known[index])
                known[index] = event.updated_at


@pytest.mark.slow
def test_event__other_process_was_killed__is_not_awaited_for_long(relays: list[RelayServer], shop: Environment) -> None:
    first, other = relays
    with first.connect(shop) as stream:
        before = newest(stream)
        other.process.kill()
        for number in range(3):
            shop.change(banner=(True, f"value {number}"))
            assert first.post(shop) == 202
            before = stream.event_after(before).updated_at
            assert before == seconds(shop.version)
