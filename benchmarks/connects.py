"""Connects per second, each with its first event: ``python -m benchmarks.connects``.

P3. Our first event is the current state, after the gate has been read; nchan's is its last message.
"""

import time

from benchmarks import proc, report, subjects
from benchmarks.report import Figures, Report
from benchmarks.streams import StreamClients
from benchmarks.subjects import Subject

PAUSE_SECONDS = 1.0


def measure(subject: Subject, streams: int, window: int, measurements: int) -> list[Figures]:
    """Open all streams once per measurement, and once before that for warm-up."""
    measured = []
    for number in [min(streams, 200)] + [streams] * measurements:
        with StreamClients(subject.targets, number, processes=1, window=window) as clients:
            before = proc.cpu_seconds(*subject.pids)
            opened = clients.open()
            cpu = proc.cpu_seconds(*subject.pids) - before
        time.sleep(PAUSE_SECONDS)
        measured.append(
            {
                "connects_per_second": number / opened.seconds,
                "connects_per_cpu_second": number / cpu,
                **report.spread(opened.each),
                "client_busy": opened.busy,
            }
        )
    return measured[1:]


def main() -> None:
    parser = report.parser("connects", __doc__)
    subjects.add_arguments(parser, streams=10_000)
    parser.add_argument("--window", type=int, default=256, help="maximum number of concurrent connects")
    arguments = parser.parse_args()
    conditions = report.conditions(arguments, "streams", "window")
    result = Report("connects", "P3", "connects per second, including the first event", conditions)
    subjects.measure_each(
        result, arguments, lambda subject, streams: measure(subject, streams, arguments.window, arguments.measurements)
    )
    result.notes.append("first to last: per connection, from its connect to the last byte of its first event")
    result.output(arguments)


if __name__ == "__main__":
    main()
