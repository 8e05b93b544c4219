"""Memory and CPU time of idle streams: ``python -m benchmarks.memory``.

P2. The memory of the server's processes minus their memory without streams. Each measurement uses a new server, because
a process does not return the memory of closed streams.
"""

import time

from benchmarks import proc, report, subjects
from benchmarks.report import Figures, Report
from benchmarks.streams import StreamClients
from benchmarks.subjects import Subject

WARM_UP = 50


def measure(subject: Subject, streams: int, idle_seconds: float) -> Figures:
    """Measure a server that has just been started."""
    with StreamClients(subject.targets, WARM_UP) as clients:
        clients.open()
    before = proc.settled(*subject.pids)
    with StreamClients(subject.targets, streams) as clients:
        clients.open()
        # Idle streams include keep-alives.
        now = proc.settled(*subject.pids)
        cpu = proc.cpu_seconds(*subject.pids)
        time.sleep(idle_seconds)
        cpu = proc.cpu_seconds(*subject.pids) - cpu
        if clients.ask("newest")[0]["streams"] == 0:
            raise RuntimeError("all streams have ended")
    return {
        "pss_per_stream_kib": (now.pss - before.pss) / streams / 1024,
        "rss_per_stream_kib": (now.rss - before.rss) / streams / 1024,
        "pss_without_mib": before.pss / 2**20,
        "pss_with_mib": now.pss / 2**20,
        "idle_core_percent": cpu / idle_seconds * 100,
    }


def main() -> None:
    parser = report.parser("memory", __doc__)
    subjects.add_arguments(parser, streams=10_000)
    parser.add_argument("--idle-seconds", type=float, default=4.0, help="duration of the measurement of CPU time")
    arguments = parser.parse_args()
    conditions = report.conditions(arguments, "streams", "idle_seconds")
    result = Report("memory", "P2", "the server's memory per idle stream", conditions)
    for _ in range(arguments.measurements):
        subjects.measure_each(
            result, arguments, lambda subject, streams: [measure(subject, streams, arguments.idle_seconds)]
        )
    result.notes.append("without socket buffers and other memory of the kernel, for all subjects")
    result.notes.append("idle streams include each server's own keep-alives (ours every 10 s, nchan none)")
    result.output(arguments)


if __name__ == "__main__":
    main()
