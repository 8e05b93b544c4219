"""The deadline queue by itself."""

import asyncio

import pytest

from realtime.delivery.timers import NONE, SLOT_SECONDS, Timers
from tests.support.patience import PATIENCE


class Deadline:
    def __init__(self, fails: bool = False) -> None:
        self.slot = NONE
        self.fails = fails
        self.came = asyncio.Event()

    def due(self, now: float) -> None:
        self.came.set()
        if self.fails:
            raise ValueError("a failure of ours")


async def test_timers__deadline_that_raises__all_others_are_kept_and_the_failure_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    loop = asyncio.get_running_loop()
    timers = Timers(loop)
    beside = [Deadline(fails=number % 2 == 0) for number in range(6)]
    later = Deadline()
    when = loop.time() + SLOT_SECONDS
    for deadline in beside:
        timers.put(deadline, when)
    timers.put(later, when + 3 * SLOT_SECONDS)
    async with asyncio.timeout(PATIENCE):
        for deadline in (*beside, later):
            await deadline.came.wait()
    assert sum("deadline_failed" in record.getMessage() for record in caplog.records) == 3
    again = Deadline()
    timers.put(again, loop.time())
    async with asyncio.timeout(PATIENCE):
        await again.came.wait()
    timers.close()
