"""The other processes of the same server: whoever is asked for his health speaks for all who share the port."""

from realtime.monitoring.figures import figures
from realtime.monitoring.metrics import ticks


class Siblings:
    """Whether the pulses of the others go on, seen from one of them."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[int, float]] = {}

    def look(self, now: float) -> None:
        """See who has ticked. ``now`` is the looker's time, which stands still while he is held up himself."""
        seen = {}
        for file, count in figures.of_others(ticks.name).items():
            # 0: it has not begun yet, or has ended.
            before = self._seen.get(file)
            seen[file] = before if before is not None and before[0] == count and count else (count, now)
        self._seen = seen

    def stand_still(self, now: float) -> dict[str, float]:
        """By name, the seconds since each was seen to get on."""
        return {f"process {file}": now - at for file, (_, at) in self._seen.items()}
