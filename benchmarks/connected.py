"""Delay and connected time of SDKs during ten minutes of toggles: ``python -m benchmarks.connected``.

An admin toggles every 1.3 s, and clients keep a stream as Flagsmith's SDKs do (``sdks.py``), with the server's default
stream duration. For each client: the time from the Admin API's response until the client has the event or a newer one
(negative if the event arrives first), and the part of the time without a stream.

``--before PATH`` measures the server of another checkout first, in the same run.
"""

import bisect
import itertools
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import report, sdks
from benchmarks.report import Figures, Report
from benchmarks.sdks import Endpoint, Record
from benchmarks.server import Product, product
from tests.support import programs

# How long toggles continue after the last counted one. Browsers may be without a stream for 3 s, and the Ruby SDK sees
# a toggle that it has missed with the next one.
AFTER_SECONDS = 6.0


def measure(served: Product, seconds: float, pause: float, clients: Sequence[str]) -> dict[str, Figures]:
    """Toggle for this time, with these clients. ``pause``: seconds between two toggles."""
    environment = served.demo["environments"][0]
    endpoint = Endpoint(served.server.url, served.server.port, served.key, environment["server_key"])
    toggles: list[tuple[float, int]] = []
    with sdks.running(clients, endpoint) as running:
        admin = served.admin()
        began = time.perf_counter()
        for number in itertools.count(1):
            _, answered = admin.toggle()
            toggles.append((answered, served.version()))
            if answered > began + seconds + AFTER_SECONDS:
                break
            time.sleep(max(0.0, began + number * pause - time.perf_counter()))
        records = running.stop()
    counted = [(answered, version) for answered, version in toggles if answered <= began + seconds]
    return {name: figures(record, counted, began, began + seconds) for name, record in records.items()}


def figures(record: Record, toggles: Sequence[tuple[float, int]], began: float, ended: float) -> Figures:
    """The figures of one client. ``toggles``: the time of each response, and the new version."""
    delays = [at - answered for answered, version in toggles if (at := arrival(record, version)) is not None]
    ordered = sorted(delays)
    return {
        "answer_to_event_p50_ms": report.percentile(ordered, 0.5) * 1000,
        "answer_to_event_p99_ms": report.percentile(ordered, 0.99) * 1000,
        "answer_to_event_max_ms": ordered[-1] * 1000,
        "without_stream_percent": 100 * without_stream(record.streams, began, ended),
        "streams": sum(began <= at <= ended for at, _ in record.streams),
        "toggles": len(toggles),
        "missed": len(toggles) - len(delays),
    }


def arrival(record: Record, version: int) -> float | None:
    """When the client got this version or a newer one; None: never."""
    newest = list(itertools.accumulate((received for _, received in record.events), max))
    index = bisect.bisect_left(newest, version)
    return record.events[index][0] if index < len(newest) else None


def without_stream(streams: Sequence[tuple[float, float]], began: float, ended: float) -> float:
    """The fraction of this period in which no stream was open."""
    covered, until = 0.0, began
    for since, end in sorted(streams):
        since, end = max(since, until), min(end, ended)
        if end > since:
            covered += end - since
            until = end
    return 1 - covered / (ended - began)


def commit(checkout: Path) -> str:
    """The short hash of the checkout's commit."""
    command = ["git", "-C", str(checkout), "rev-parse", "--short", "HEAD"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def main() -> None:
    parser = report.parser("connected", __doc__)
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--pause", type=float, default=1.3, help="seconds between two toggles")
    parser.add_argument("--stream-seconds", type=float, help="REALTIME_STREAM_SECONDS; by default the server's own")
    parser.add_argument("--clients", nargs="*", choices=list(sdks.CLIENTS), default=list(sdks.CLIENTS))
    parser.add_argument("--before", type=Path, metavar="PATH", help="a checkout whose server is measured first")
    arguments = parser.parse_args()
    stream_seconds = None if arguments.stream_seconds is None else f"{arguments.stream_seconds:g}"
    conditions = {name: getattr(arguments, name) for name in ("seconds", "pause")}
    conditions["stream_seconds"] = stream_seconds or "the server's default"
    result = Report("connected", "P10", "SDKs' delay of changes, and their time without a stream", conditions)
    servers = {"": programs.ROOT}
    if arguments.before is not None:
        conditions["before"] = commit(arguments.before)
        servers = {"before: ": arguments.before, **servers}
    for name, checkout in servers.items():
        report.progress(f"connected: {name}{arguments.seconds:g} s")
        with product(checkout=checkout, stream_seconds=stream_seconds) as served:
            for client, measured in measure(served, arguments.seconds, arguments.pause, arguments.clients).items():
                result.add(f"{name}{client}", measured)
    result.output(arguments)


if __name__ == "__main__":
    main()
