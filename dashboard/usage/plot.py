"""Layout of a stacked bar chart by day, for an SVG that the page stretches. Its labels are HTML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

HEIGHT = 100.0
"""Height of the view box. One day is one unit wide."""

BAR_WIDTH = 0.76
"""As a fraction of a day's width."""

STEPS = (1, 2, 4, 5, 10)


@dataclass(frozen=True)
class BarPart:
    """The part of a day's bar that belongs to one kind."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Bar:
    day: date
    total: int
    parts: list[BarPart]


@dataclass(frozen=True)
class Plot:
    bars: list[Bar]
    top: int
    """The value at full height: a round number whose half is an integer, or 1."""

    @property
    def days(self) -> int:
        return len(self.bars)

    @property
    def ticks(self) -> list[int]:
        return [self.top, self.top // 2, 0] if self.top > 1 else [self.top, 0]

    @property
    def labelled(self) -> list[date]:
        """The days with a label: the first, the middle and the last."""
        return [self.bars[index].day for index in (0, len(self.bars) // 2, -1)]


def stacked(days: Sequence[tuple[date, Mapping[str, int]]]) -> Plot:
    """One bar per day, stacked from its numbers by kind; the first kind is at the bottom."""
    top = _round_up(max((sum(numbers.values()) for _, numbers in days), default=0))
    return Plot([_bar(index, day, numbers, top) for index, (day, numbers) in enumerate(days)], top)


def _bar(index: int, day: date, numbers: Mapping[str, int], top: int) -> Bar:
    parts, total = [], 0
    for kind, number in numbers.items():
        if number:
            total += number
            y, height = HEIGHT * (1 - total / top), HEIGHT * number / top
            parts.append(BarPart(kind, round(index + (1 - BAR_WIDTH) / 2, 3), round(y, 3), BAR_WIDTH, round(height, 3)))
    return Bar(day, total, parts)


def _round_up(maximum: int) -> int:
    """The smallest of 1, 2, 4, 5, 10, 20, 40, … that is at least ``maximum``."""
    power = 1
    while True:
        for step in STEPS:
            if step * power >= maximum:
                return step * power
        power *= 10
