"""SVG paths of the two plots of the last hour, in a view box of 60 (minutes) by 100 that the page stretches."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10

from realtime.inspector.panel import Minute

HEIGHT = 100


@dataclass(frozen=True)
class Plot:
    top: float
    """The value at the upper edge."""

    paths: dict[str, str]
    """SVG path data by CSS class."""

    @property
    def middle(self) -> float:
        return self.top / 2


def propagation(history: Sequence[Minute]) -> Plot:
    """For each minute with deliveries: a dot for p50, one for p99, and a line between them."""
    points = [
        (index + 0.5, minute.p50_ms, minute.p99_ms)
        for index, minute in enumerate(history)
        if minute.p50_ms is not None and minute.p99_ms is not None
    ]
    top = _round_top(max((p99 for _, _, p99 in points), default=0))
    lines, p50_dots, p99_dots = [], [], []
    for x, p50, p99 in points:
        low, high = _y(p50, top), _y(p99, top)
        lines.append(f"M{x:g} {low:g}V{high:g}")
        # A line of length 0 with round caps is a dot, even in a stretched box.
        p50_dots.append(f"M{x:g} {low:g}h0")
        p99_dots.append(f"M{x:g} {high:g}h0")
    return Plot(top, {"range": "".join(lines), "p50": "".join(p50_dots), "p99": "".join(p99_dots)})


def connections(history: Sequence[Minute]) -> Plot:
    """The number of open streams: one step per minute."""
    top = _round_top(max((minute.streams for minute in history), default=0), least=4)
    steps = [
        f"{'M' if index == 0 else 'L'}{index} {_y(minute.streams, top):g}H{index + 1}"
        for index, minute in enumerate(history)
    ]
    line = "".join(steps)
    return Plot(top, {"line": line, "area": f"{line}V{HEIGHT}H0Z" if steps else ""})


def _y(value: float, top: float) -> float:
    return round(HEIGHT - value / top * HEIGHT, 2)


def _round_top(maximum: float, least: float = 1) -> float:
    """``maximum`` rounded up to 1, 2, 4 or 10 times a power of ten, so that its half is round too."""
    maximum = max(maximum, least)
    power = float(10 ** floor(log10(maximum)))
    return next(step * power for step in (1, 2, 4, 10) if step * power >= maximum)
