"""Bars by day, laid out for an SVG that is stretched to its place. Every text stands beside it, in HTML."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

HEIGHT = 100.0
"""Of the drawing, in its own units; a day is one unit wide."""

BAR = 0.76
"""Of a day's width."""

STEPS = (1, 2, 4, 5, 10)


@dataclass(frozen=True)
class Piece:
    """What one kind has of a day's bar."""

    kind: str
    x: float
    y: float
    width: float
    height: float


@dataclass(frozen=True)
class Bar:
    day: date
    total: int
    pieces: list[Piece]


@dataclass(frozen=True)
class Plot:
    bars: list[Bar]
    top: int
    """What the full height stands for: a round number, which half is whole too unless it is 1."""

    @property
    def days(self) -> int:
        return len(self.bars)

    @property
    def ticks(self) -> list[int]:
        return [self.top, self.top // 2, 0] if self.top > 1 else [self.top, 0]

    @property
    def labelled(self) -> list[date]:
        """The days that are written below: the first, the middle and the last."""
        return [self.bars[place].day for place in (0, len(self.bars) // 2, -1)]


def stacked(days: Sequence[tuple[date, Mapping[str, int]]]) -> Plot:
    """A bar for each day, of its kinds' numbers; the first kind lies at the bottom."""
    top = _round(max((sum(numbers.values()) for _, numbers in days), default=0))
    return Plot([_bar(place, day, numbers, top) for place, (day, numbers) in enumerate(days)], top)


def _bar(place: int, day: date, numbers: Mapping[str, int], top: int) -> Bar:
    pieces, below = [], 0
    for kind, number in numbers.items():
        if number:
            below += number
            y, height = HEIGHT * (1 - below / top), HEIGHT * number / top
            pieces.append(Piece(kind, round(place + (1 - BAR) / 2, 3), round(y, 3), BAR, round(height, 3)))
    return Bar(day, below, pieces)


def _round(most: int) -> int:
    """The smallest of 1, 2, 4, 5, 10, 20, 40, … that is not below."""
    power = 1
    while True:
        for step in STEPS:
            if step * power >= most:
                return step * power
        power *= 10
