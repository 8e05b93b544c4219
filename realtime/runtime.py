"""Runtime: the parts that live as long as a server's event loop, each made at its first use and closed at the end.

A server process has one. Tests have one for each event loop.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

T = TypeVar("T")


class Runtime:
    """The parts of one event loop. The methods must be called in it."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._parts: dict[Callable[[], Any], Any] = {}
        self._closing = AsyncExitStack()
        self._started = False

    def get(self, make: Callable[[], T]) -> T:
        """The part that this class or function makes. The first call makes it."""
        part: T | None = self._parts.get(make)
        if part is None:
            part = self._parts[make] = make()
        return part

    def on_close(self, close: Callable[[], Awaitable[None]]) -> None:
        """Call ``close`` when the runtime closes, before everything that was given here earlier."""
        self._closing.push_async_callback(close)

    async def start(self, start: Callable[[], Awaitable[None]]) -> None:
        """Call ``start``, at the first call of this method only."""
        if not self._started:
            self._started = True
            await start()

    async def close(self) -> None:
        """Close the parts, the newest first. If one fails, the others are closed before this raises.

        The loop may then get a new runtime.
        """
        try:
            await self._closing.aclose()
        finally:
            _forget(self)


_runtimes: dict[asyncio.AbstractEventLoop, Runtime] = {}

# The one that was used last: a faster lookup, because a process nearly always has one loop.
_latest: Runtime | None = None


def current() -> Runtime:
    """The runtime of the running event loop."""
    global _latest
    loop, runtime = asyncio.get_running_loop(), _latest
    if runtime is None or runtime.loop is not loop:
        # Some loops may have ended without closing their runtime.
        for known in list(_runtimes):
            if known.is_closed():
                _runtimes.pop(known, None)
        runtime = _latest = _runtimes.setdefault(loop, Runtime(loop))
    return runtime


def _forget(runtime: Runtime) -> None:
    global _latest
    _runtimes.pop(runtime.loop, None)
    if _latest is runtime:
        _latest = None
