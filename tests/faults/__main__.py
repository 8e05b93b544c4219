"""All faults, over and over, in any order: ``python -m tests.faults --rounds 20``.

A round is each fault once. Exit status 1 when a subscriber was left behind, when one had the newest state later than
one reconcile and a second after the fault, or when anything went wrong that the fault itself does not bring with it.
"""

import argparse
import random
import sys
from collections import Counter

from tests.faults.cluster import RECONCILE_SECONDS, Bus, Story, cluster
from tests.faults.faults import Fault, of

MOST_SECONDS = RECONCILE_SECONDS + 1


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
    late = [f"healed after {story.healed_seconds:.2f} s"] if story.healed_seconds > MOST_SECONDS else []
    return story.complaints(fault) + late


def tell(stories: list[tuple[Bus, Fault, Story]]) -> None:
    """By fault: how often, changes meanwhile, subscribers left behind, and the slowest healing."""
    print(f"{'fault':<62}{'times':>6}{'updates':>9}{'lost':>6}{'median s':>10}{'most s':>8}{'failed calls':>14}")
    for name in dict.fromkeys(f"{bus}: {fault.name}" for bus, fault, _ in stories):
        own = [story for bus, fault, story in stories if f"{bus}: {fault.name}" == name]
        times = sorted(story.healed_seconds for story in own)
        calls = sum((story.calls for story in own), Counter[str]()).total()
        print(
            f"{name:<62}{len(own):>6}{sum(story.updates for story in own):>9}{sum(story.behind for story in own):>6}"
            f"{times[len(times) // 2]:>10.3f}{times[-1]:>8.3f}{calls:>14}"
        )
    updates, lost = (sum(getattr(story, name) for _, _, story in stories) for name in ("updates", "behind"))
    print(f"{len(stories)} faults, {updates} updates, lost {lost}")


if __name__ == "__main__":
    main()
