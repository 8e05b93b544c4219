"""Each fault of a relay once, while the upstream's flags change. ``python -m tests.faults`` repeats them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from tests.faults.faults import Fault
from tests.faults.relay_faults import of
from tests.faults.relays import MAX_RECOVERY_SECONDS, MAX_START_SECONDS, Kind, Relays, relays
from tests.support.patience import START

pytestmark = pytest.mark.timeout(300 + 6 * START)

KINDS: tuple[Kind, ...] = ("directory", "redis")

QUICK = {("directory", "upstream answers with garbage")}
FAULTS = [
    pytest.param(kind, fault, id=f"{kind}: {fault.name}", marks=[] if (kind, fault.name) in QUICK else pytest.mark.slow)
    for kind in KINDS
    for fault in of(kind)
]


@pytest.fixture(scope="module")
def started() -> Iterator[Callable[[Kind], Relays]]:
    """A function that returns the relays with this storage, and starts them if they are not running."""
    running: dict[Kind, Relays] = {}
    with ExitStack() as stack:

        def get(kind: Kind) -> Relays:
            if kind not in running:
                running[kind] = stack.enter_context(relays(kind))
            return running[kind]

        yield get


@pytest.mark.parametrize(("kind", "fault"), FAULTS)
def test_relay__fault_comes_and_goes__no_wrong_answer_and_all_streams_have_the_newest_state(
    started: Callable[[Kind], Relays], kind: Kind, fault: Fault
) -> None:
    report = started(kind).survive(fault)
    assert not report.failures_of(fault)
    # Without the time for which the machine was busy with other work.
    assert max(recovery.net_seconds for recovery in report.recoveries) <= MAX_RECOVERY_SECONDS
    assert report.start is not None
    assert report.start.net_seconds <= MAX_START_SECONDS
    assert report.updates
