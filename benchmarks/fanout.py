"""The time of one update from the first to the last of many streams: ``python -m benchmarks.fanout``.

P1. One server process.
"""

import time

from benchmarks import cores, proc, report, subjects
from benchmarks.report import Figures, Report
from benchmarks.streams import StreamClients
from benchmarks.subjects import Subject

# The pause between two updates. Longer than REALTIME_REPEAT_SECONDS, so that no update is repeated during the next one.
PAUSE_SECONDS = 2.5


def measure(subject: Subject, streams: int, measurements: int) -> list[Figures]:
    """Open the streams, warm up with one update, and measure the next ones."""
    measured = []
    with StreamClients(
        subject.targets, streams, processes=1 if streams <= cores.raise_file_limit() - 100 else None
    ) as clients:
        version = clients.open().version
        for _ in range(measurements + 1):
            time.sleep(PAUSE_SECONDS)
            clients.expect(after=version)
            before = proc.cpu_seconds(*subject.pids)
            sent, _ = subject.update()
            arrived = clients.arrived()
            cpu = proc.cpu_seconds(*subject.pids) - before
            version = arrived.version
            figures = report.spread(arrived.times, since=arrived.times[0])
            del figures["first_ms"]
            measured.append(
                {
                    **figures,
                    "update_to_first_ms": (arrived.times[0] - sent) * 1000,
                    "update_to_last_ms": (arrived.times[-1] - sent) * 1000,
                    "server_cpu_ms": cpu * 1000,
                    "client_busy": arrived.busy,
                }
            )
    return measured[1:]


def main() -> None:
    parser = report.parser("fanout", __doc__)
    subjects.add_arguments(parser, streams=10_000)
    arguments = parser.parse_args()
    what = "one update to all streams of one process, from first to last"
    result = Report("fanout", "P1", what, report.conditions(arguments, "streams"))
    subjects.measure_each(result, arguments, lambda subject, streams: measure(subject, streams, arguments.measurements))
    result.notes.append(
        "our update is an admin's request with a transaction, a peer's is a request that stores nothing"
    )
    result.notes.append(
        "client_busy near 1: the client could not read faster, so the server may be faster than measured"
    )
    result.output(arguments)


if __name__ == "__main__":
    main()
