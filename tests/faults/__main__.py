"""All faults, over and over, in any order: ``python -m tests.faults --rounds 20``.

A round is each fault once. Exit status 1 when a subscriber was left behind, when one had the newest state later than
one reconcile and a second, or when anything went wrong that the fault itself does not bring with it. It is measured
from the end of the fault ("healed"), from a change that was made after it ("later"), and, where the fault spares the
database, from a moment while it lasts ("meanwhile"). The times are elapsed ones, so let nothing else run on the
machine: "no core" is the part of one of them for which it was busy otherwise, at most.
"""

import argparse
import random
import sys
from collections import Counter
from statistics import median

from tests.faults.cluster import MOST_SECONDS, Bus, Story, cluster
from tests.faults.faults import Fault, of


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.randrange(2**32))
    parser.add_argument("--bus", choices=("postgres", "redis"), action="append")
    parser.add_argument("--streams", type=int, default=60)
    parser.add_argument("--per-second", type=float, default=5.0, help="changes, in each environment")
    options = parser.parse_args()
    buses: list[Bus] = options.bus or ["postgres", "redis"]
    stories: list[tuple[Bus, Fault, Story]] = []
    for bus in buses:
        print(f"{bus}: {options.rounds} rounds, seed {options.seed}", flush=True)
        with cluster(bus, streams=options.streams, per_second=options.per_second, seed=options.seed) as running:
            for _ in range(options.rounds):
                for fault in running.chance.sample(of(bus), len(of(bus))):
                    story = running.survive(fault)
                    stories.append((bus, fault, story))
                    for complaint in complaints(fault, story):
                        print(f"{bus}: {fault.name}: {complaint}", flush=True)
    tell(stories)
    sys.exit(any(complaints(fault, story) for _, fault, story in stories))


def complaints(fault: Fault, story: Story) -> list[str]:
    """What must not be."""
    late = [
        f"healed after {healing.seconds:.2f} s, {healing.contention_seconds:.2f} s of them for want of a core"
        for healing in story.healings
        if healing.seconds > MOST_SECONDS
    ]
    return story.complaints(fault) + late


def tell(stories: list[tuple[Bus, Fault, Story]]) -> None:
    """By fault: how often, changes meanwhile, subscribers left behind, the times of healing, and calls that failed."""
    print(
        f"{'fault':<58}{'times':>6}{'updates':>9}{'lost':>6}{'healed: median':>16}{'most':>8}{'later':>8}"
        f"{'meanwhile':>11}{'no core':>9}{'failed calls':>14}"
    )
    for name in dict.fromkeys(f"{bus}: {fault.name}" for bus, fault, _ in stories):
        own = [story for bus, fault, story in stories if f"{bus}: {fault.name}" == name]
        healed = [story.healed.seconds for story in own]
        later = max(story.healed_afterwards.seconds for story in own)
        meanwhile = [story.healed_meanwhile.seconds for story in own if story.healed_meanwhile is not None]
        contention = max(healing.contention_seconds for story in own for healing in story.healings)
        calls = sum((story.calls for story in own), Counter[str]()).total()
        print(
            f"{name:<58}{len(own):>6}{sum(story.updates for story in own):>9}{sum(story.behind for story in own):>6}"
            f"{median(healed):>14.3f} s{max(healed):>8.3f}{later:>8.3f}"
            f"{f'{max(meanwhile):.3f}' if meanwhile else '':>11}{contention:>9.3f}{calls:>14}"
        )
    updates, lost = (sum(getattr(story, name) for _, _, story in stories) for name in ("updates", "behind"))
    print(f"{len(stories)} faults, {updates} updates, lost {lost}")


if __name__ == "__main__":
    main()
