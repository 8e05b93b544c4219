"""All faults, over and over, in any order: ``python -m tests.faults --rounds 20``.

A round is each fault once. Exit status 1 when a subscriber was left behind, when one had the newest state later than
one reconcile and a second after the fault (or, where the fault spares the database, after a moment of it), or when
anything went wrong that the fault itself does not bring with it. The times are elapsed ones: let nothing else run on
the machine. The last column of the table shows how long it was busy otherwise.
"""

import argparse
import random
import sys
from collections import Counter
from statistics import median

from tests.faults.cluster import MOST_SECONDS, Bus, Healing, Story, cluster
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
        for healing in healings(story)
        if healing.seconds > MOST_SECONDS
    ]
    return story.complaints(fault) + late


def healings(story: Story) -> list[Healing]:
    """All that were measured of a fault."""
    return [healing for healing in (story.healed_meanwhile, story.healed) if healing is not None]


def tell(stories: list[tuple[Bus, Fault, Story]]) -> None:
    """By fault: how often, changes meanwhile, subscribers left behind, the times of healing, and calls that failed."""
    print(
        f"{'fault':<58}{'times':>6}{'updates':>9}{'lost':>6}{'median s':>10}{'most s':>8}{'most meanwhile s':>18}"
        f"{'failed calls':>14}{'no core s':>11}"
    )
    for name in dict.fromkeys(f"{bus}: {fault.name}" for bus, fault, _ in stories):
        own = [story for bus, fault, story in stories if f"{bus}: {fault.name}" == name]
        times = [story.healed.seconds for story in own]
        meanwhile = max((story.healed_meanwhile.seconds for story in own if story.healed_meanwhile), default=None)
        calls = sum((story.calls for story in own), Counter[str]()).total()
        contention = max(healing.contention_seconds for story in own for healing in healings(story))
        print(
            f"{name:<58}{len(own):>6}{sum(story.updates for story in own):>9}{sum(story.behind for story in own):>6}"
            f"{median(times):>10.3f}{max(times):>8.3f}{'' if meanwhile is None else f'{meanwhile:.3f}':>18}"
            f"{calls:>14}{contention:>11.3f}"
        )
    updates, lost = (sum(getattr(story, name) for _, _, story in stories) for name in ("updates", "behind"))
    print(f"{len(stories)} faults, {updates} updates, lost {lost}")


if __name__ == "__main__":
    main()
