"""Deadlines of very many streams, kept by few timers of the event loop."""

import asyncio
import heapq
import math
from typing import Protocol

import structlog

logger = structlog.get_logger(__name__)

# Deadlines that fall into the same slot share one timer: 100,000 streams need at most fifty timers a second.
SLOT_SECONDS = 0.02

# uvloop's timers count milliseconds, and one may fire that much too early.
TIMER_SECONDS = 0.002


class Waiting(Protocol):
    """Who waits for a deadline, one at a time."""

    slot: int
    """Where it is kept; the timers' own business. ``NONE`` at first."""

    def due(self, now: float) -> None:
        """The deadline has come. ``now`` is the loop's time."""


NONE = -1


class Timers:
    """The deadlines of one event loop. Each is kept up to ``SLOT_SECONDS`` late, never early."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._slots: dict[int, set[Waiting]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._fired = NONE

    def put(self, waiting: Waiting, when: float) -> None:
        """Call ``waiting.due`` at this time of the loop, in place of when it waited for before."""
        slot = max(math.ceil(when / SLOT_SECONDS), self._fired + 1)
        if slot == waiting.slot:
            return
        self.drop(waiting)
        waiting.slot = slot
        if slot not in self._slots:
            self._slots[slot] = set()
            heapq.heappush(self._order, slot)
            if self._order[0] == slot:
                self._plan()
        self._slots[slot].add(waiting)

    def drop(self, waiting: Waiting) -> None:
        """Forget its deadline, if it has one."""
        if waiting.slot != NONE:
            self._slots[waiting.slot].discard(waiting)
            waiting.slot = NONE

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _plan(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._order[0] * SLOT_SECONDS, self._fire) if self._order else None

    def _fire(self) -> None:
        now = self._loop.time() + TIMER_SECONDS
        while self._order and self._order[0] * SLOT_SECONDS <= now:
            self._fired = heapq.heappop(self._order)
            come = self._slots.pop(self._fired)
            for waiting in come:
                waiting.slot = NONE
            for waiting in come:
                try:
                    waiting.due(now)
                except Exception:
                    # All other deadlines, of this slot and the next ones, have to be kept.
                    logger.exception("deadline_failed")
        self._plan()
