"""A toggle, then all streaming clients fetch the flags, until all agree: ``python -m benchmarks.herd``.

P5. Each client does what an SDK does: when the event comes, it asks for ``flags/`` on a connection of its own that it
opens then (one that was kept open since the last event would long have been closed by the server). It is done when
the answer has the event's version or a newer one, and the toggled state. Time runs from the toggle's request.
"""

import time
from typing import Any

from benchmarks import proc, report
from benchmarks.refetching import RefetchingHolder
from benchmarks.report import Figures, Report
from benchmarks.server import Product, product
from benchmarks.streams import Herd
from benchmarks.subjects import CONDITIONS

PAUSE_SECONDS = 2.5


def measure(served: Product, streams: int, window: int, measurements: int) -> list[Figures]:
    """The first toggle is not counted."""
    measured = []
    admin = served.admin()
    options: dict[str, Any] = {"key": served.key, "port": served.server.port, "feature": admin.feature}
    with Herd(served.targets, streams, processes=1, window=window, holder=RefetchingHolder, **options) as herd:
        version = herd.open().version
        for _ in range(measurements + 1):
            time.sleep(PAUSE_SECONDS)
            herd.expect(after=version, enabled=not admin.enabled)
            admin.reconnect()
            worked = proc.on_core(*served.pids)
            sent, _ = admin.toggle()
            arrived = herd.arrived()
            worked = proc.on_core(*served.pids) - worked
            version = arrived.version
            measured.append(
                {
                    **report.spread(arrived.times, since=sent),
                    "refetches_per_second": streams / (arrived.times[-1] - sent),
                    "server_cpu_ms": worked * 1000,
                    "client_busy": arrived.busy,
                }
            )
    return measured[1:]


def main() -> None:
    parser = report.parser("herd", __doc__)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--window", type=int, default=2_048, help="fetches under way at once")
    parser.add_argument("--measurements", type=int, default=3)
    arguments = parser.parse_args()
    conditions = {"streams": arguments.streams, "window": arguments.window, "fetch": "new connection, gzip"}
    told = Report("herd", "P5", "a toggle, until all clients have fetched the flags", {**conditions, **CONDITIONS})
    told.quoted["real Flagsmith"] = "67 s for 10,000 clients at its 75 flags/ a second and core"
    told.notes.append("the client opens no more fetches at once than the window; those that wait for that count too")
    with product() as served:
        for figures in measure(served, arguments.streams, arguments.window, arguments.measurements):
            told.add("ours", figures)
    told.tell(arguments)


if __name__ == "__main__":
    main()
