"""What a server keeps of bad clients: ``python -m benchmarks.soak [--seconds 600]``.

Clients come and go, stall, read a byte a second, send half a request and reset, while flags are toggled. Others behave:
they connect again when their stream ends, as SDKs do. In the end all of these have the newest version, and the
server's memory, open files and threads are where they were before. Otherwise the exit status is 1.

Before the first reading there is a warm-up with the same clients.
"""

import argparse
import os
import sys
import time
from typing import Any

from benchmarks import proc, report
from benchmarks.holder import Holder
from benchmarks.misbehaviour import Crowd
from benchmarks.proc import Usage
from benchmarks.report import Report
from benchmarks.server import Product, product
from benchmarks.streams import Herd
from benchmarks.wire import Event, ProtocolError

# So many events, and streams so old, that clients which do not read have full buffers: then the server has to hold
# what it would send, or let it go.
TOGGLE_SECONDS = 0.05
STREAM_SECONDS = "120"

SAMPLE_SECONDS = 10.0
PATIENCE_SECONDS = 60.0

# What may be more in the end: pages that the allocator keeps, connections of the database, threads that wait for work.
MORE_PSS = 8 * 2**20
MORE_FILES = 8
MORE_THREADS = 8


class FaithfulHolder(Holder):
    """Streams that come back when they end, and that never accept an older version than they had."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._had: dict[int, int] = {}
        self._ends = 0

    def ends(self) -> dict[str, Any]:
        """How many streams have ended and were opened again."""
        return {"ends": self._ends}

    def _greeted(self, descriptor: int, event: Event, now: float) -> None:
        had = self._had.get(self._of[descriptor], 0)
        if event.version < had:
            raise ProtocolError(f"a stream that begins with version {event.version} after {had}")
        super()._greeted(descriptor, event, now)

    def _ended(self, descriptor: int) -> None:
        index = self._of.pop(descriptor)
        self._had[index] = self._versions.pop(descriptor)
        del self._states[descriptor]
        self._began.pop(descriptor, None)
        os.close(descriptor)
        self._ends += 1
        self._connect(index, self._targets[index])


def soak(served: Product, seconds: float, subscribers: int) -> dict[str, float]:
    """Let all of them loose for so long; what came of it."""
    admin = served.admin()
    sizes, queues = [], []
    toggles = 0
    with Herd(served.targets, subscribers, holder=FaithfulHolder) as herd:
        herd.open()
        with Crowd(served.targets[0]) as crowd:
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
        newest = all_at(herd, served.version())
        ends = sum(answer["ends"] for answer in herd.ask("ends"))
    return {
        "toggles": toggles,
        "bad_clients": sum(crowd.met.values()),
        "ends_of_good_streams": ends,
        "most_pss_mib": max(sizes) / 2**20,
        "longest_send_queue_kib": max(queues) / 1024,
        "all_at_newest": float(newest),
    }


def all_at(herd: Herd, version: int) -> bool:
    """Whether all good streams are open and have this version, soon."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < deadline:
        answers = herd.ask("newest")
        streams = sum(answer["streams"] for answer in answers)
        if streams == herd.number and all(set(answer["versions"].values()) == {version} for answer in answers):
            return True
        time.sleep(0.2)
    return False


def calm(served: Product, before: Usage | None = None) -> Usage:
    """The server without clients; given how it was before, as soon as it is so again, or after some patience."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        now = proc.settled(*served.pids)
        if before is None or not excess(before, now) or time.monotonic() > deadline:
            return now


def excess(before: Usage, after: Usage) -> list[str]:
    """What is more than it may be."""
    more = []
    for name, most in (("pss", MORE_PSS), ("files", MORE_FILES), ("threads", MORE_THREADS)):
        if getattr(after, name) - getattr(before, name) > most:
            more.append(f"{name}: {getattr(before, name)} before, {getattr(after, name)} after")
    return more


def measure(served: Product, arguments: argparse.Namespace, told: Report) -> bool:
    """Whether all is as it should be."""
    report.progress("soak: warm-up")
    soak(served, arguments.warm_up_seconds, arguments.subscribers)
    before = calm(served)
    came_of_it = soak(served, arguments.seconds, arguments.subscribers)
    after = calm(served, before)
    told.add(
        "ours",
        {
            **came_of_it,
            "pss_before_mib": before.pss / 2**20,
            "pss_after_mib": after.pss / 2**20,
            "files_before": before.files,
            "files_after": after.files,
            "threads_before": before.threads,
            "threads_after": after.threads,
        },
    )
    told.notes += excess(before, after)
    return bool(came_of_it["all_at_newest"]) and not excess(before, after)


def main() -> None:
    parser = report.parser("soak", __doc__)
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--warm-up-seconds", type=float, default=60)
    parser.add_argument("--subscribers", type=int, default=200, help="those who behave")
    arguments = parser.parse_args()
    names = ("seconds", "warm_up_seconds", "subscribers")
    told = Report(
        "soak", "", "bad clients, and what is left of them", {name: getattr(arguments, name) for name in names}
    )
    told.conditions["stream_seconds"] = STREAM_SECONDS
    told.notes.append("the longest send queue is what the kernel holds for a client that does not read")
    told.notes.append("tasks of the event loop are not seen from outside; each stream of ours has none")
    with product(stream_seconds=STREAM_SECONDS) as served:
        well = measure(served, arguments, told)
    told.notes.append("all as it was" if well else "NOT as it was")
    told.tell(arguments)
    sys.exit(not well)


if __name__ == "__main__":
    main()
