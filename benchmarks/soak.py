"""Memory, files and threads of a server after misbehaving clients: ``python -m benchmarks.soak [--seconds 600]``.

Clients connect and close, do not read, read a byte per second, send half a request and reset, while flags are toggled.
Well-behaved clients connect again when their stream ends, as SDKs do. In the end all of these must have the newest
version, and the server's memory, open files and threads must be as before. Otherwise the exit status is 1.

A warm-up with the same clients precedes the first reading.
"""

import argparse
import os
import sys
import time
from typing import Any

from benchmarks import proc, report
from benchmarks.client_process import ClientProcess
from benchmarks.misbehaviour import MisbehavingClients
from benchmarks.proc import Usage
from benchmarks.report import Report
from benchmarks.server import Product, product
from benchmarks.streams import StreamClients
from benchmarks.wire import Event, ProtocolError

# Frequent events and long streams fill the socket buffers of clients that do not read. The server then has to drop
# events or to queue them.
TOGGLE_SECONDS = 0.05
STREAM_SECONDS = "120"

SAMPLE_SECONDS = 10.0
PATIENCE_SECONDS = 60.0

# The permitted growth: pages that the allocator keeps, database connections, idle threads.
MAX_MORE_PSS = 8 * 2**20
MAX_MORE_FILES = 8
MAX_MORE_THREADS = 8


class ReconnectingClientProcess(ClientProcess):
    """Streams that connect again when they end, and fail if their version decreases."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._last_versions: dict[int, int] = {}
        self._ends = 0

    def ends(self) -> dict[str, Any]:
        """The number of streams that ended and were opened again."""
        return {"ends": self._ends}

    def _greeted(self, descriptor: int, event: Event, now: float) -> None:
        last = self._last_versions.get(self._target_indexes[descriptor], 0)
        if event.version < last:
            raise ProtocolError(f"a stream that begins with version {event.version} after {last}")
        super()._greeted(descriptor, event, now)

    def _ended(self, descriptor: int) -> None:
        index = self._target_indexes.pop(descriptor)
        self._last_versions[index] = self._versions.pop(descriptor)
        del self._states[descriptor]
        self._began.pop(descriptor, None)
        os.close(descriptor)
        self._ends += 1
        self._connect(index, self._targets[index])


def soak(served: Product, seconds: float, subscribers: int) -> dict[str, float]:
    """Run all clients for this time, and return the figures."""
    admin = served.admin()
    sizes, queues = [], []
    toggles = 0
    with StreamClients(served.targets, subscribers, client_process=ReconnectingClientProcess) as clients:
        clients.open()
        with MisbehavingClients(served.targets[0]) as misbehaving:
            until = time.monotonic() + seconds
            sampled_at = 0.0
            while (now := time.monotonic()) < until:
                admin.toggle()
                toggles += 1
                if now > sampled_at + SAMPLE_SECONDS:
                    sampled_at = now
                    sizes.append(proc.usage(*served.pids).pss)
                    queues.append(proc.longest_send_queue(served.server.port))
                    report.progress(f"soak: {until - now:.0f} s to go, {sizes[-1] / 2**20:.1f} MiB")
                time.sleep(TOGGLE_SECONDS)
        admin.toggle()
        newest = all_at(clients, served.version())
        ends = sum(answer["ends"] for answer in clients.ask("ends"))
    return {
        "toggles": toggles,
        "bad_clients": sum(misbehaving.counts.values()),
        "ends_of_good_streams": ends,
        "most_pss_mib": max(sizes) / 2**20,
        "longest_send_queue_kib": max(queues) / 1024,
        "all_at_newest": float(newest),
    }


def all_at(clients: StreamClients, version: int) -> bool:
    """Wait until all streams are open and have this version; False after ``PATIENCE_SECONDS``."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        answers = clients.ask("newest")
        streams = sum(answer["streams"] for answer in answers)
        if streams == clients.number and all(set(answer["versions"].values()) == {version} for answer in answers):
            return True
        time.sleep(0.2)
    return False


def idle_usage(served: Product, before: Usage | None = None) -> Usage:
    """The server's usage without clients. With ``before``, wait until it is as before, or ``PATIENCE_SECONDS``."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        now = proc.settled(*served.pids)
        if before is None or not excess(before, now) or time.monotonic() > deadline:
            return now


def excess(before: Usage, after: Usage) -> list[str]:
    """The resources that have grown by more than the maximum."""
    more = []
    for name, maximum in (("pss", MAX_MORE_PSS), ("files", MAX_MORE_FILES), ("threads", MAX_MORE_THREADS)):
        if getattr(after, name) - getattr(before, name) > maximum:
            more.append(f"{name}: {getattr(before, name)} before, {getattr(after, name)} after")
    return more


def measure(served: Product, arguments: argparse.Namespace, result: Report) -> bool:
    """Measure, and return whether all conditions are met."""
    report.progress("soak: warm-up")
    soak(served, arguments.warm_up_seconds, arguments.subscribers)
    before = idle_usage(served)
    figures = soak(served, arguments.seconds, arguments.subscribers)
    after = idle_usage(served, before)
    result.add(
        "ours",
        {
            **figures,
            "pss_before_mib": before.pss / 2**20,
            "pss_after_mib": after.pss / 2**20,
            "files_before": before.files,
            "files_after": after.files,
            "threads_before": before.threads,
            "threads_after": after.threads,
        },
    )
    result.notes += excess(before, after)
    return bool(figures["all_at_newest"]) and not excess(before, after)


def main() -> None:
    parser = report.parser("soak", __doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--warm-up-seconds", type=float, default=60)
    parser.add_argument("--subscribers", type=int, default=200, help="number of well-behaved clients")
    arguments = parser.parse_args()
    names = ("seconds", "warm_up_seconds", "subscribers")
    result = Report(
        "soak", "", "resources after misbehaving clients", {name: getattr(arguments, name) for name in names}
    )
    result.conditions["stream_seconds"] = STREAM_SECONDS
    result.notes.append("the longest send queue: bytes in the kernel for a client that does not read")
    result.notes.append("tasks of the event loop are not visible from outside; our streams have none")
    with product(stream_seconds=STREAM_SECONDS) as served:
        passed = measure(served, arguments, result)
    result.notes.append("resources as before" if passed else "resources NOT as before")
    result.output(arguments)
    sys.exit(not passed)


if __name__ == "__main__":
    main()
