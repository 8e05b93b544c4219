"""Repeats all faults in random order: ``python -m tests.faults --rounds 20``.

A round has each fault once. The exit status is 1 if a subscriber did not get the newest state, got it later than one
reconcile and a second, got a wrong answer of a relay, or if there were failures that the fault does not explain. Times
are measured from the end of the fault ("recovered"), from a change after it ("later"), and, if the database stays
reachable, from a moment during the fault ("meanwhile"); for relays also from their start from kept documents, without
the upstream ("start"). They are elapsed times, of which the time without a core, for other work on the machine, is not
held against the limits: "no core" is the largest one of a recovery, "no core at start" that of a start.
"""

import argparse
import random
import sys
from collections import Counter
from collections.abc import Iterable
from functools import partial
from statistics import median

from tests.faults import faults, relay_faults
from tests.faults.cluster import MAX_RECOVERY_SECONDS, Bus, Report, cluster
from tests.faults.faults import Fault
from tests.faults.relays import MAX_START_SECONDS, Kind, relays


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--bus", choices=("postgres", "redis"), action="append")
    parser.add_argument("--relays", choices=("directory", "redis"), action="append", help="only relays, by storage")
    parser.add_argument("--streams", type=int, default=60)
    parser.add_argument("--per-second", type=float, default=5.0, help="changes, in each environment")
    options = parser.parse_args()
    is_any = not options.bus and not options.relays
    buses: list[Bus] = options.bus or (["postgres", "redis"] if is_any else [])
    storages: list[Kind] = options.relays or (["directory", "redis"] if is_any else [])
    load = {"streams": options.streams, "per_second": options.per_second, "seed": options.seed}
    subjects = [(bus, faults.of(bus), partial(cluster, bus, **load)) for bus in buses]
    subjects += [
        (f"relay, {kind}", relay_faults.of(kind), partial(relays, kind, seed=load["seed"])) for kind in storages
    ]
    reports: list[tuple[str, Fault, Report]] = []
    for subject, own, start in subjects:
        print(f"{subject}: {options.rounds} rounds, seed {options.seed}", flush=True)
        with start() as running:
            for _ in range(options.rounds):
                for fault in running.chance.sample(own, len(own)):
                    report = running.survive(fault)
                    reports.append((subject, fault, report))
                    for failure in failures_of(fault, report):
                        print(f"{subject}: {fault.name}: {failure}", flush=True)
    print_table(reports)
    sys.exit(any(failures_of(fault, report) for _, fault, report in reports))


def failures_of(fault: Fault, report: Report) -> list[str]:
    """Failures that the fault does not explain, and recoveries that took too long."""
    late = [
        f"recovered after {recovery.seconds:.2f} s, {recovery.contention_seconds:.2f} s of them without a core"
        for recovery in report.recoveries
        if recovery.net_seconds > MAX_RECOVERY_SECONDS
    ]
    if (start := report.start) is not None and start.net_seconds > MAX_START_SECONDS:
        late.append(f"started after {start.seconds:.2f} s, {start.contention_seconds:.2f} s of them without a core")
    return report.failures_of(fault) + late


def print_table(reports: list[tuple[str, Fault, Report]]) -> None:
    """By fault: repetitions, updates, subscribers without the newest state, wrong answers, times, and failed calls."""
    rows = dict.fromkeys(f"{bus}: {fault.name}" for bus, fault, _ in reports)
    width = max(map(len, rows)) + 2
    times = ("recovered: median", "max", "later", "meanwhile", "no core", "start", "no core at start")
    head = ("times", "updates", "lost", "wrong", *times)
    print(f"{'fault':<{width}}{'  '.join(head)}  failed calls")
    for name in rows:
        own = [report for bus, fault, report in reports if f"{bus}: {fault.name}" == name]
        recovered = [report.recovery.seconds for report in own]
        cells = (
            str(len(own)),
            str(sum(each.updates for each in own)),
            str(sum(each.behind for each in own)),
            str(sum(each.wrong.total() for each in own)),
            f"{median(recovered):.3f} s",
            f"{max(recovered):.3f}",
            f"{max(report.recovery_later.seconds for report in own):.3f}",
            _longest(report.recovery_during.seconds for report in own if report.recovery_during is not None),
            _longest(recovery.contention_seconds for report in own for recovery in report.recoveries),
            _longest(report.start.seconds for report in own if report.start is not None),
            _longest(report.start.contention_seconds for report in own if report.start is not None),
        )
        calls = sum((report.calls for report in own), Counter[str]()).total()
        row = "  ".join(f"{cell:>{len(title)}}" for title, cell in zip(head, cells, strict=True))
        print(f"{name:<{width}}{row}  {calls:>12}")
    updates, lost = (sum(getattr(report, name) for _, _, report in reports) for name in ("updates", "behind"))
    wrong = sum(report.wrong.total() for _, _, report in reports)
    print(f"{len(reports)} faults, {updates} updates, lost {lost}, wrong answers {wrong}")


def _longest(seconds: Iterable[float]) -> str:
    """The longest time; empty if there is none."""
    longest = max(seconds, default=None)
    return "" if longest is None else f"{longest:.3f}"


if __name__ == "__main__":
    main()
