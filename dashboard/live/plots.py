"""The last hour as two plots: shapes in a box of 60 by 100, which the page stretches, and lines for a table."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10

from realtime.inspector.panel import Minute

HEIGHT = 100


@dataclass(frozen=True)
class Plot:
    top: float
    """What the upper edge stands for."""

    paths: dict[str, str]
    """Of SVG, by what they show."""

    @property
    def middle(self) -> float:
        return self.top / 2


def propagation(history: Sequence[Minute]) -> Plot:
    """Of each minute in which something was written: a dot for p50, one for p99, and a line between them."""
    known = [
        (place + 0.5, minute.p50_ms, minute.p99_ms)
        for place, minute in enumerate(history)
        if minute.p50_ms is not None and minute.p99_ms is not None
    ]
    top = _round_top(max((p99 for _, _, p99 in known), default=0))
    lines, halves, nearly_all = [], [], []
    for x, p50, p99 in known:
        low, high = _y(p50, top), _y(p99, top)
        lines.append(f"M{x:g} {low:g}V{high:g}")
        # A line without length: its round ends are a dot, however the box is stretched.
        halves.append(f"M{x:g} {low:g}h0")
        nearly_all.append(f"M{x:g} {high:g}h0")
    return Plot(top, {"range": "".join(lines), "p50": "".join(halves), "p99": "".join(nearly_all)})


def connections(history: Sequence[Minute]) -> Plot:
    """The streams that were open: a step for each minute."""
    top = _round_top(max((minute.streams for minute in history), default=0), least=4)
    steps = [
        f"{'M' if place == 0 else 'L'}{place} {_y(minute.streams, top):g}H{place + 1}"
        for place, minute in enumerate(history)
    ]
    line = "".join(steps)
    return Plot(top, {"line": line, "area": f"{line}V{HEIGHT}H0Z" if steps else ""})


def _y(number: float, top: float) -> float:
    return round(HEIGHT - number / top * HEIGHT, 2)


def _round_top(most: float, least: float = 1) -> float:
    """The next of 1, 2, 4 or 10 times a power of ten, so that half of it reads well, too."""
    most = max(most, least)
    power = float(10 ** floor(log10(most)))
    return next(step * power for step in (1, 2, 4, 10) if step * power >= most)
