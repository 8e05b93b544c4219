"""One update to 100,000 streams on all cores: ``python -m benchmarks.hundred_thousand``.

P4. Several server processes share one database; each has its own port. Clients and servers share all cores. One toggle
at the first server reaches all streams. There is no bus: the other processes receive the event by the reconcile, about
a second later, which is part of the figures. nchan: one nginx with as many workers, which share memory.
"""

import argparse
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from benchmarks import cores, proc, report
from benchmarks.peers import nchan
from benchmarks.report import Report
from benchmarks.server import product
from benchmarks.streams import StreamClients
from benchmarks.subjects import Ours, Peer, Subject

# Below the usual hard limit of open files (20,000).
MAX_STREAMS_PER_PROCESS = 15_000
TIMEOUT = 300.0
PAUSE_SECONDS = 3.0


@contextmanager
def ours(processes: int) -> Iterator[Subject]:
    with product(processes=processes, on=cores.CORES) as served:
        yield Ours(served)


@contextmanager
def nginx(processes: int) -> Iterator[Subject]:
    with nchan.nginx(processes, cores.CORES) as (port, pid):
        peer = Peer(port, pid, nchan.STREAM, nchan.PUBLISH, "environment_updated")
        peer.update()
        yield peer


def measure(subject: Subject, arguments: argparse.Namespace, processes: int, result: Report, name: str) -> None:
    streams = arguments.streams
    with StreamClients(subject.targets, 50 * processes) as clients:
        clients.open()
    empty = proc.settled(*subject.pids)
    with StreamClients(subject.targets, streams, processes=processes, on=cores.CORES) as clients:
        opened = clients.open()
        report.progress(f"hundred_thousand: {streams} streams of {name} in {opened.seconds:.1f} s")
        full = proc.settled(*subject.pids)
        version = opened.version
        for number in range(arguments.measurements + 1):
            time.sleep(PAUSE_SECONDS)
            clients.expect(after=version)
            sent, _ = subject.update()
            arrived = clients.arrived(TIMEOUT)
            version = arrived.version
            if number:
                result.add(
                    name,
                    {
                        **report.spread(arrived.times, since=sent),
                        "first_to_last_ms": (arrived.times[-1] - arrived.times[0]) * 1000,
                        "pss_mib": full.pss / 2**20,
                        "pss_per_stream_kib": (full.pss - empty.pss) / streams / 1024,
                        "connect_seconds": opened.seconds,
                    },
                )


def main() -> None:
    parser = report.parser("hundred_thousand", __doc__)
    parser.add_argument("--streams", type=int, default=100_000)
    parser.add_argument("--measurements", type=int, default=3)
    parser.add_argument("--subjects", default="ours,nchan", help="comma-separated subset")
    arguments = parser.parse_args()
    processes = max(2, -(-arguments.streams // MAX_STREAMS_PER_PROCESS))
    conditions: dict[str, Any] = {
        "streams": arguments.streams,
        "server_processes": processes,
        "client_processes": processes,
        "cores": f"all {len(cores.CORES)}, shared by servers and clients",
        "database": "SQLite",
        "stream_age": "an hour",
    }
    result = Report("hundred_thousand", "P4", "one update to all streams of the machine, from the toggle", conditions)
    result.notes.append("server processes receive each other's events only by the reconcile, about once a second")
    result.notes.append("memory of all server processes, without the kernel's socket buffers")
    subjects: dict[str, Callable[[], AbstractContextManager[Subject]]] = {
        "ours": lambda: ours(processes),
        "nchan": lambda: nginx(processes),
    }
    chosen = {name: subjects[name] for name in arguments.subjects.split(",")}
    report.measure_all(result, chosen, lambda name, subject: measure(subject, arguments, processes, result, name))
    result.output(arguments)


if __name__ == "__main__":
    main()
