"""One update to very many streams of one process, from first to last: ``python -m benchmarks.fanout``.

P1. With --growth also for other numbers of streams.
"""

import time

from benchmarks import cores, proc, report, subjects
from benchmarks.report import Figures, Report
from benchmarks.streams import Herd
from benchmarks.subjects import Subject

# Between two updates, longer than REALTIME_REPEAT_SECONDS: otherwise the second one is said again meanwhile.
PAUSE_SECONDS = 2.5


def measure(subject: Subject, streams: int, measurements: int) -> list[Figures]:
    """Open the streams, warm up with one update, and measure some more."""
    measured = []
    with Herd(subject.targets, streams, processes=1 if streams <= cores.raise_file_limit() - 100 else None) as herd:
        version = herd.open().version
        for _ in range(measurements + 1):
            time.sleep(PAUSE_SECONDS)
            herd.expect(after=version)
            before = proc.on_core(*subject.pids)
            sent, _ = subject.update()
            arrived = herd.arrived()
            worked = proc.on_core(*subject.pids) - before
            version = arrived.version
            figures = report.spread(arrived.times, since=arrived.times[0])
            del figures["first_ms"]
            measured.append(
                {
                    **figures,
                    "update_to_first_ms": (arrived.times[0] - sent) * 1000,
                    "update_to_last_ms": (arrived.times[-1] - sent) * 1000,
                    "server_cpu_ms": worked * 1000,
                    "client_busy": arrived.busy,
                }
            )
    return measured[1:]


def main() -> None:
    parser = report.parser("fanout", __doc__)
    subjects.add_arguments(parser, streams=10_000)
    subjects.add_growth(parser)
    arguments = parser.parse_args()
    conditions = {"streams": arguments.streams, **subjects.CONDITIONS}
    told = Report("fanout", "P1", "one update to all streams of one process, from first to last", conditions)

    def measure_one(name: str, subject: Subject) -> None:
        for figures in measure(subject, arguments.streams, arguments.measurements):
            told.add(name, figures)
        for size in subjects.sizes(arguments, name):
            told.add_growth(name, size, measure(subject, size, subjects.MEASUREMENTS))

    report.measure_all(told, subjects.chosen(arguments), measure_one)
    told.notes.append(
        "an update of ours is an admin's request with its transaction, a peer's a call that stores nothing"
    )
    told.notes.append("client_busy near 1: the client could not read faster, so the server may be faster than told")
    told.grown(arguments.streams)
    told.tell(arguments)


if __name__ == "__main__":
    main()
