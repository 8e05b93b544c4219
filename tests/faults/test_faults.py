"""Each fault once, under changes that go on; ``python -m tests.faults`` does it over and over.

The clock of one of the processes is five seconds ahead all along.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.cluster import MOST_SECONDS, Bus, Cluster, cluster
from tests.faults.faults import Fault, of
from tests.support.patience import START

# The first one waits for six servers, one after the other.
pytestmark = pytest.mark.timeout(600 + 6 * START)

BUSES: tuple[Bus, ...] = ("postgres", "redis")


@pytest.fixture(scope="module")
def running() -> Iterator[dict[Bus, Cluster]]:
    # Half of what ``python -m tests.faults`` has: what counts is that there are some at each moment.
    few: dict[str, Any] = {"streams": 30, "per_second": 3.0}
    with cluster("postgres", **few) as over_postgres, cluster("redis", **few) as over_redis:
        yield {"postgres": over_postgres, "redis": over_redis}


@pytest.mark.parametrize(
    ("bus", "fault"), [pytest.param(bus, fault, id=f"{bus}: {fault.name}") for bus in BUSES for fault in of(bus)]
)
def test_subscribers__fault_comes_and_goes__all_have_the_newest_state(
    running: dict[Bus, Cluster], bus: Bus, fault: Fault
) -> None:
    story = running[bus].survive(fault)
    assert not story.complaints(fault)
    # Without the time for which the machine was busy with other tests.
    assert max(healing.net_seconds for healing in story.healings) <= MOST_SECONDS
    assert story.updates
