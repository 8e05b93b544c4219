"""The time from a toggle until all streaming clients have refetched the flags: ``python -m benchmarks.refetch_load``.

P5. As an SDK does, each client requests ``flags/`` after the event, on a new connection (the server would have closed
an idle one since the last event). It has finished when the response has the event's version or a newer one, and the
toggled state. The time starts with the toggle's request.
"""

import time
from typing import Any

from benchmarks import proc, report
from benchmarks.refetching import RefetchingClientProcess
from benchmarks.report import Figures, Report
from benchmarks.server import Product, product
from benchmarks.streams import StreamClients
from benchmarks.subjects import CONDITIONS

PAUSE_SECONDS = 2.5


def measure(served: Product, streams: int, window: int, measurements: int) -> list[Figures]:
    """Measure so many toggles, after one that is not counted."""
    measured = []
    admin = served.admin()
    options: dict[str, Any] = {"key": served.key, "port": served.server.port, "feature": admin.feature}
    with StreamClients(
        served.targets, streams, processes=1, window=window, client_process=RefetchingClientProcess, **options
    ) as clients:
        version = clients.open().version
        for _ in range(measurements + 1):
            time.sleep(PAUSE_SECONDS)
            clients.expect(after=version, enabled=not admin.enabled)
            admin.reconnect()
            cpu = proc.cpu_seconds(*served.pids)
            sent, _ = admin.toggle()
            arrived = clients.arrived()
            cpu = proc.cpu_seconds(*served.pids) - cpu
            version = arrived.version
            measured.append(
                {
                    **report.spread(arrived.times, since=sent),
                    "refetches_per_second": streams / (arrived.times[-1] - sent),
                    "server_cpu_ms": cpu * 1000,
                    "client_busy": arrived.busy,
                }
            )
    return measured[1:]


def main() -> None:
    parser = report.parser("refetch_load", __doc__)
    parser.add_argument("--streams", type=int, default=10_000)
    parser.add_argument("--window", type=int, default=2_048, help="maximum number of concurrent fetches")
    parser.add_argument("--measurements", type=int, default=3)
    arguments = parser.parse_args()
    conditions = {"streams": arguments.streams, "window": arguments.window, "fetch": "new connection, gzip"}
    result = Report(
        "refetch_load", "P5", "from a toggle until all clients have fetched the flags", {**conditions, **CONDITIONS}
    )
    result.quoted["real Flagsmith"] = "67 s for 10,000 clients, at 75 flags/ per second and core"
    result.notes.append("the time includes fetches that wait because the window is full")
    with product() as served:
        for figures in measure(served, arguments.streams, arguments.window, arguments.measurements):
            result.add("ours", figures)
    result.output(arguments)


if __name__ == "__main__":
    main()
