"""One update to 100,000 streams on all cores: ``python -m benchmarks.hundred_thousand``.

P4. Several server processes share one database; each has its own port. Clients and servers share all cores. One toggle
at the first server reaches all streams. There is no bus: the other processes receive the event by the reconcile, about
a second later, which is part of the figures. nchan: one nginx with as many workers, which share memory.
"""

import time

from benchmarks import cores, proc, report, subjects
from benchmarks.report import Figures, Report
from benchmarks.streams import StreamClients
from benchmarks.subjects import Subject

# Below the usual hard limit of open files (20,000).
MAX_STREAMS_PER_PROCESS = 15_000
TIMEOUT = 300.0
PAUSE_SECONDS = 3.0


def measure(subject: Subject, streams: int, processes: int, measurements: int) -> list[Figures]:
    """Open the streams, warm up with one update, and measure the next ones."""
    with StreamClients(subject.targets, 50 * processes) as clients:
        clients.open()
    empty = proc.settled(*subject.pids)
    measured = []
    with StreamClients(subject.targets, streams, processes=processes, on=cores.CORES) as clients:
        opened = clients.open()
        report.progress(f"hundred_thousand: {streams} streams in {opened.seconds:.1f} s")
        full = proc.settled(*subject.pids)
        version = opened.version
        for _ in range(measurements + 1):
            time.sleep(PAUSE_SECONDS)
            clients.expect(after=version)
            sent, _ = subject.update()
            arrived = clients.arrived(TIMEOUT)
            version = arrived.version
            measured.append(
                {
                    **report.spread(arrived.times, since=sent),
                    "first_to_last_ms": (arrived.times[-1] - arrived.times[0]) * 1000,
                    "pss_mib": full.pss / 2**20,
                    "pss_per_stream_kib": (full.pss - empty.pss) / streams / 1024,
                    "connect_seconds": opened.seconds,
                }
            )
    return measured[1:]


def main() -> None:
    parser = report.parser("hundred_thousand", __doc__)
    subjects.add_arguments(parser, streams=100_000)
    arguments = parser.parse_args()
    processes = max(2, -(-max(arguments.streams) // MAX_STREAMS_PER_PROCESS))
    conditions = {"streams": arguments.streams, "server_processes": processes, "client_processes": processes}
    conditions |= {"cores": f"all {len(cores.CORES)}, shared by servers and clients", "database": "SQLite"}
    result = Report("hundred_thousand", "P4", "one update to all streams of the machine, from the toggle", conditions)
    result.notes.append("server processes receive each other's events only by the reconcile, about once a second")
    result.notes.append("memory of all server processes, without the kernel's socket buffers")
    subjects.measure_each(
        result,
        arguments,
        lambda subject, streams: measure(subject, streams, processes, arguments.measurements),
        processes,
        cores.CORES,
    )
    result.output(arguments)


if __name__ == "__main__":
    main()
