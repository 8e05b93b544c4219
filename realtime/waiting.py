"""Waits in the event loop."""

import asyncio
from contextlib import suppress


async def wait_for_event(event: asyncio.Event, seconds: float | None) -> None:
    """Wait until the event is set, or until the time has passed. None: without a limit.

    ``asyncio.wait_for`` of Python 3.11 ignores a cancellation that comes just after the event: a task that waits in a
    loop would never end.
    """
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
