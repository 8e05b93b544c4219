"""A deadline queue: many stream deadlines on few event-loop timers."""

import asyncio
import heapq
import math
from typing import Protocol

import structlog

from realtime import runtime

logger = structlog.get_logger(__name__)

# Deadlines within the same slot share one timer: 100,000 streams need at most 50 timers per second.
SLOT_SECONDS = 0.02

# uvloop's timers have a resolution of one millisecond, and may fire one millisecond early.
TIMER_SECONDS = 0.002


class HasDeadline(Protocol):
    """An object with at most one deadline at a time."""

    slot: int
    """The slot of its deadline, ``NO_SLOT`` at first. Only ``Timers`` writes it."""

    def due(self, now: float) -> None:
        """Called when the deadline has passed. ``now`` is the loop's time."""


NO_SLOT = -1


class Timers:
    """The deadlines of one event loop. ``due`` is called up to ``SLOT_SECONDS`` late, never early."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._slots: dict[int, set[HasDeadline]] = {}
        self._order: list[int] = []
        self._timer: asyncio.TimerHandle | None = None
        self._fired = NO_SLOT
        runtime.current().on_close(self._close)

    def schedule(self, waiting: HasDeadline, when: float) -> None:
        """Call ``waiting.due`` at this time of the loop. Replaces its previous deadline."""
        slot = max(math.ceil(when / SLOT_SECONDS), self._fired + 1)
        if slot == waiting.slot:
            return
        self.cancel(waiting)
        waiting.slot = slot
        if slot not in self._slots:
            self._slots[slot] = set()
            heapq.heappush(self._order, slot)
            if self._order[0] == slot:
                self._start_timer()
        self._slots[slot].add(waiting)

    def cancel(self, waiting: HasDeadline) -> None:
        """Remove its deadline, if it has one."""
        if waiting.slot != NO_SLOT:
            self._slots[waiting.slot].discard(waiting)
            waiting.slot = NO_SLOT

    async def _close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _start_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._loop.call_at(self._order[0] * SLOT_SECONDS, self._fire) if self._order else None

    def _fire(self) -> None:
        now = self._loop.time() + TIMER_SECONDS
        while self._order and self._order[0] * SLOT_SECONDS <= now:
            self._fired = heapq.heappop(self._order)
            expired = self._slots.pop(self._fired)
            for waiting in expired:
                waiting.slot = NO_SLOT
            for waiting in expired:
                try:
                    waiting.due(now)
                except Exception:
                    # Continue with the other deadlines of this slot and the later ones.
                    logger.exception("deadline_failed")
        self._start_timer()
