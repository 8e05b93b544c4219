"""Propagation from a change in one process to a stream of another: ``python -m benchmarks.propagation [--json]``.

For each bus, two server processes of one database: an admin toggles at the first, one stream is open at the second.
Measured: from the admin's request and from its response to the event. With the memory bus, the reconcile delivers it.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from benchmarks import report
from benchmarks.latency import figures, measure
from benchmarks.report import Report
from benchmarks.server import Product, product
from tests.support.redis import Redis

BUSES = ("memory", "postgres", "redis")

# Each of these takes up to a second.
RECONCILED_TOGGLES = 20


@contextmanager
def pair(bus: str) -> Iterator[Product]:
    """Two processes that share a database and use this bus."""
    with ExitStack() as stack:
        url = stack.enter_context(Redis()).url if bus == "redis" else ""
        database = "postgresql" if bus == "postgres" else "sqlite"
        yield stack.enter_context(product(database=database, processes=2, REALTIME_BUS=bus, REDIS_URL=url))


def main() -> None:
    parser = report.parser("propagation", __doc__)
    parser.add_argument("--toggles", type=int, default=300)
    parser.add_argument("--measurements", type=int, default=3)
    parser.add_argument("--buses", nargs="*", choices=BUSES, default=BUSES)
    arguments = parser.parse_args()
    result = Report(
        "propagation", "", "from a response at one process to a stream of another", {"toggles": arguments.toggles}
    )
    result.notes.append(f"memory: by the reconcile, {RECONCILED_TOGGLES} toggles")
    for bus in arguments.buses:
        toggles, warm_up = (RECONCILED_TOGGLES, 0) if bus == "memory" else (arguments.toggles, 20)
        with pair(bus) as served:
            for _ in range(arguments.measurements):
                measured = measure(served, served.targets[1], toggles, warm_up=warm_up)
                result.add(
                    bus,
                    {
                        **figures("answer_to_event", [toggle.event_after_answer for toggle in measured]),
                        **figures("request_to_event", [toggle.event for toggle in measured]),
                    },
                )
    result.output(arguments)


if __name__ == "__main__":
    main()
