"""What an idle stream costs the server, in memory and in time: ``python -m benchmarks.memory [--growth]``.

P2. Memory is that of the server's processes beside what they have without streams, each time of a new server: one that
has had streams keeps room for them.
"""

import time

from benchmarks import proc, report, subjects
from benchmarks.report import Figures, Report
from benchmarks.streams import Herd
from benchmarks.subjects import Subject

WARM_UP = 50


def measure(subject: Subject, streams: int, idle_seconds: float) -> Figures:
    """Of a server that has just been started."""
    with Herd(subject.targets, WARM_UP) as herd:
        herd.open()
    before = proc.settled(*subject.pids)
    with Herd(subject.targets, streams) as herd:
        herd.open()
        # Keep-alives are part of being idle.
        now = proc.settled(*subject.pids)
        worked = proc.on_core(*subject.pids)
        time.sleep(idle_seconds)
        worked = proc.on_core(*subject.pids) - worked
        if herd.ask("newest")[0]["streams"] == 0:
            raise RuntimeError("no stream is left")
    return {
        "pss_per_stream_kib": (now.pss - before.pss) / streams / 1024,
        "rss_per_stream_kib": (now.rss - before.rss) / streams / 1024,
        "pss_without_mib": before.pss / 2**20,
        "pss_with_mib": now.pss / 2**20,
        "idle_core_percent": worked / idle_seconds * 100,
    }


def main() -> None:
    parser = report.parser("memory", __doc__)
    subjects.add_arguments(parser, streams=10_000)
    subjects.add_growth(parser)
    parser.add_argument("--stock-streams", type=int, default=2_000, help="of stock django-eventstream, which is slow")
    parser.add_argument("--idle-seconds", type=float, default=4.0, help="for the time on a core of idle streams")
    arguments = parser.parse_args()
    names = ("streams", "stock_streams", "idle_seconds")
    conditions = {**{name: getattr(arguments, name) for name in names}, **subjects.CONDITIONS}
    told = Report("memory", "P2", "the server's memory for each idle stream", conditions)

    def measure_one(name: str, subject: Subject) -> None:
        told.add(name, measure(subject, subjects.streams_of(name, arguments), arguments.idle_seconds))

    for _ in range(arguments.measurements):
        report.measure_all(told, subjects.chosen(arguments), measure_one)
    for name in told.measured:
        for size in subjects.sizes(arguments, name):
            with subjects.SUBJECTS[name]() as subject:
                told.add_growth(name, size, [measure(subject, size, arguments.idle_seconds)])
    told.notes.append("socket buffers and other memory of the kernel are not in it, for any of them")
    told.notes.append("idle: with each server's own keep-alives (ours every 10 s, stock every 20 s, nchan none)")
    told.grown(arguments.streams)
    told.tell(arguments)


if __name__ == "__main__":
    main()
