"""The deadline queue."""

import asyncio

import pytest

from realtime import runtime
from realtime.delivery.timers import NO_SLOT, SLOT_SECONDS, Timers
from tests.support.patience import PATIENCE


class Deadline:
    def __init__(self, fails: bool = False) -> None:
        self.slot = NO_SLOT
        self.fails = fails
        self.passed = asyncio.Event()

    def due(self, now: float) -> None:
        self.passed.set()
        if self.fails:
            raise ValueError("a bug")


async def test_timers__due_raises__logged_and_other_deadlines_are_called(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.get_running_loop()
    timers = Timers()
    same_slot = [Deadline(fails=number % 2 == 0) for number in range(6)]
    later = Deadline()
    when = loop.time() + SLOT_SECONDS
    for deadline in same_slot:
        timers.schedule(deadline, when)
    timers.schedule(later, when + 3 * SLOT_SECONDS)
    async with asyncio.timeout(PATIENCE):
        for deadline in (*same_slot, later):
            await deadline.passed.wait()
    assert sum("deadline_failed" in record.getMessage() for record in caplog.records) == 3
    again = Deadline()
    timers.schedule(again, loop.time())
    async with asyncio.timeout(PATIENCE):
        await again.passed.wait()
    await runtime.current().close()
