"""How many clients can connect in a second, each with its first event: ``python -m benchmarks.connects [--growth]``.

P3. A first event is the present state: of ours after the gate was read, of nchan its last message; stock
django-eventstream has no state to tell, its first event says that the stream is open.
"""

import time

from benchmarks import proc, report, subjects
from benchmarks.report import Figures, Report
from benchmarks.streams import Herd
from benchmarks.subjects import Subject

PAUSE_SECONDS = 1.0


def measure(subject: Subject, streams: int, window: int, measurements: int) -> list[Figures]:
    """Open all streams so often, each time anew. The first time is not counted."""
    measured = []
    for number in [min(streams, 200)] + [streams] * measurements:
        with Herd(subject.targets, number, processes=1, window=window) as herd:
            before = proc.on_core(*subject.pids)
            opened = herd.open()
            worked = proc.on_core(*subject.pids) - before
        time.sleep(PAUSE_SECONDS)
        measured.append(
            {
                "connects_per_second": number / opened.seconds,
                "connects_per_cpu_second": number / worked,
                **report.spread(opened.each),
                "client_busy": opened.busy,
            }
        )
    return measured[1:]


def main() -> None:
    parser = report.parser("connects", __doc__)
    subjects.add_arguments(parser, streams=10_000)
    subjects.add_growth(parser)
    parser.add_argument("--stock-streams", type=int, default=2_000, help="of stock django-eventstream, which is slow")
    parser.add_argument("--window", type=int, default=256, help="connects under way at once")
    arguments = parser.parse_args()
    names = ("streams", "stock_streams", "window")
    conditions = {**{name: getattr(arguments, name) for name in names}, **subjects.CONDITIONS}
    told = Report("connects", "P3", "connects a second, the first event included", conditions)

    def measure_one(name: str, subject: Subject) -> None:
        streams = subjects.streams_of(name, arguments)
        for figures in measure(subject, streams, arguments.window, arguments.measurements):
            told.add(name, figures)
        for size in subjects.sizes(arguments, name):
            told.add_growth(name, size, measure(subject, size, arguments.window, subjects.MEASUREMENTS))

    report.measure_all(told, subjects.chosen(arguments), measure_one)
    told.notes.append("first to last: of each connection by itself, from its connect to its first event's last byte")
    told.grown(arguments.streams)
    told.tell(arguments)


if __name__ == "__main__":
    main()
