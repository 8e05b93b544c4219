"""Event loops whose clock a test can move forward (``skip``).

So tests need not wait, and can use times so long that a slow machine does not matter.
"""

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any

import uvloop


class AsyncioLoop(asyncio.SelectorEventLoop):
    _ahead = 0.0

    def time(self) -> float:
        return super().time() + self._ahead

    def skip(self, seconds: float) -> None:
        # The loop compares its timers with ``time()`` in each iteration.
        self._ahead += seconds


class UvloopLoop(uvloop.Loop):
    """libuv's timers do not notice a jump of the clock, so ``skip`` schedules all timers again."""

    _ahead = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.timers: set[Timer] = set()

    def time(self) -> float:
        return float(super().time()) + self._ahead

    def skip(self, seconds: float) -> None:
        self._ahead += seconds
        for timer in self.timers:
            timer.schedule()

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return Timer(self, when, lambda: callback(*args), context)

    def real_call_later(self, delay: float, callback: Callable[[], None], context: Context | None) -> Any:
        return super().call_later(max(0.0, delay), callback, context=context)


class Timer:
    def __init__(self, loop: UvloopLoop, when: float, call: Callable[[], Any], context: Context | None) -> None:
        self._loop = loop
        self._when = when
        self._call = call
        self._context = context
        self._handle: Any = None
        loop.timers.add(self)
        self.schedule()

    def schedule(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.real_call_later(self._when - self._loop.time(), self._run, self._context)

    def cancel(self) -> None:
        self._loop.timers.discard(self)
        self._handle.cancel()

    def _run(self) -> None:
        self._loop.timers.discard(self)
        self._call()


DAY = 86_400.0
"""A time in seconds that no test reaches without ``skip``."""

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": AsyncioLoop, "uvloop": UvloopLoop}


def skip(seconds: float) -> None:
    """Move the running loop's clock forward by this number of seconds."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, AsyncioLoop | UvloopLoop)
    loop.skip(seconds)
