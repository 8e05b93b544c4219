"""Event loops whose time goes on by itself, and jumps where a test says so.

What a test says of seconds need not pass then, and is so many that no slow machine comes near to them.
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
        # It looks at its timers in each turn.
        self._ahead += seconds


class UvloopLoop(uvloop.Loop):
    """Its timers are libuv's, which know nothing of jumps: each is planned anew."""

    _ahead = 0.0

    def __init__(self) -> None:
        super().__init__()
        self.timers: set[Timer] = set()

    def time(self) -> float:
        return float(super().time()) + self._ahead

    def skip(self, seconds: float) -> None:
        self._ahead += seconds
        for timer in self.timers:
            timer.plan()

    def call_later(self, delay: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def call_at(self, when: float, callback: Any, *args: Any, context: Context | None = None) -> Any:
        return Timer(self, when, lambda: callback(*args), context)

    def really_call_later(self, delay: float, callback: Callable[[], None], context: Context | None) -> Any:
        return super().call_later(max(0.0, delay), callback, context=context)


class Timer:
    def __init__(self, loop: UvloopLoop, when: float, call: Callable[[], Any], context: Context | None) -> None:
        self._loop = loop
        self._when = when
        self._call = call
        self._context = context
        self._handle: Any = None
        loop.timers.add(self)
        self.plan()

    def plan(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
        self._handle = self._loop.really_call_later(self._when - self._loop.time(), self._run, self._context)

    def cancel(self) -> None:
        self._loop.timers.discard(self)
        self._handle.cancel()

    def _run(self) -> None:
        self._loop.timers.discard(self)
        self._call()


DAY = 86_400.0
"""Seconds that do not pass in any test."""

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {"asyncio": AsyncioLoop, "uvloop": UvloopLoop}


def skip(seconds: float) -> None:
    """It is so much later in the running loop."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, AsyncioLoop | UvloopLoop)
    loop.skip(seconds)
