"""Each fault once, while flags are changed. ``python -m tests.faults`` repeats them.

The clock of one of the processes is five seconds ahead.
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.faults.cluster import MAX_RECOVERY_SECONDS, Bus, Cluster, cluster
from tests.faults.faults import Fault, of
from tests.support.patience import START

# The first test waits for the start of six servers.
pytestmark = pytest.mark.timeout(600 + 6 * START)

BUSES: tuple[Bus, ...] = ("postgres", "redis")


@pytest.fixture(scope="module")
def running() -> Iterator[dict[Bus, Cluster]]:
    # Half as many as ``python -m tests.faults`` has.
    few: dict[str, Any] = {"streams": 30, "per_second": 3.0}
    with cluster("postgres", **few) as over_postgres, cluster("redis", **few) as over_redis:
        yield {"postgres": over_postgres, "redis": over_redis}


# One fault of each kind: the bus, the database, a server process, and messages. The others are slow.
QUICK = {
    ("redis", "Redis killed, and back"),
    ("postgres", "PostgreSQL restarted"),
    ("postgres", "server process killed"),
    ("redis", "messages lost, doubled, late and reordered"),
}
FAULTS = [
    pytest.param(bus, fault, id=f"{bus}: {fault.name}", marks=[] if (bus, fault.name) in QUICK else pytest.mark.slow)
    for bus in BUSES
    for fault in of(bus)
]


@pytest.mark.parametrize(("bus", "fault"), FAULTS)
def test_subscribers__fault_comes_and_goes__all_have_the_newest_state(
    running: dict[Bus, Cluster], bus: Bus, fault: Fault
) -> None:
    report = running[bus].survive(fault)
    assert not report.failures_of(fault)
    # Without the time for which the machine was busy with other work.
    assert max(recovery.net_seconds for recovery in report.recoveries) <= MAX_RECOVERY_SECONDS
    assert report.updates
