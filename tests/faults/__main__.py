"""Repeats all faults in random order: ``python -m tests.faults --rounds 20``.

A round has each fault once. The exit status is 1 if a subscriber did not get the newest state, got it later than one
reconcile and a second, got a wrong answer of a relay, or if there were failures that the fault does not explain. Times
are measured from the end of the fault ("recovered"), from a change after it ("later"), and, if the database stays
reachable, from a moment during the fault ("meanwhile"); for relays also from their start from kept documents, without
the upstream ("start"). They are elapsed times, so nothing else should run on the machine: "no core" is the largest part
of one of them for which the machine was busy with other work.
"""

import argparse
import random
import sys
from collections import Counter
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
        if recovery.seconds > MAX_RECOVERY_SECONDS
    ]
    if report.start is not None and report.start.seconds > MAX_START_SECONDS:
        late.append(f"started after {report.start.seconds:.2f} s, without the upstream")
    return report.failures_of(fault) + late


def print_table(reports: list[tuple[str, Fault, Report]]) -> None:
    """By fault: repetitions, updates, subscribers without the newest state, wrong answers, times, and failed calls."""
    print(
        f"{'fault':<58}{'times':>6}{'updates':>9}{'lost':>6}{'wrong':>7}{'recovered: median':>16}{'max':>8}{'later':>8}"
        f"{'meanwhile':>11}{'start':>8}{'no core':>9}{'failed calls':>14}"
    )
    for name in dict.fromkeys(f"{bus}: {fault.name}" for bus, fault, _ in reports):
        own = [report for bus, fault, report in reports if f"{bus}: {fault.name}" == name]
        recovered = [report.recovery.seconds for report in own]
        later = max(report.recovery_later.seconds for report in own)
        meanwhile = [report.recovery_during.seconds for report in own if report.recovery_during is not None]
        starts = [report.start.seconds for report in own if report.start is not None]
        contention = max(recovery.contention_seconds for report in own for recovery in report.recoveries)
        calls = sum((report.calls for report in own), Counter[str]()).total()
        print(
            f"{name:<58}{len(own):>6}{sum(each.updates for each in own):>9}{sum(each.behind for each in own):>6}"
            f"{sum(each.wrong.total() for each in own):>7}"
            f"{median(recovered):>16.3f} s{max(recovered):>8.3f}{later:>8.3f}"
            f"{f'{max(meanwhile):.3f}' if meanwhile else '':>11}{f'{max(starts):.3f}' if starts else '':>8}"
            f"{contention:>9.3f}{calls:>14}"
        )
    updates, lost = (sum(getattr(report, name) for _, _, report in reports) for name in ("updates", "behind"))
    print(f"{len(reports)} faults, {updates} updates, lost {lost}")


if __name__ == "__main__":
    main()
