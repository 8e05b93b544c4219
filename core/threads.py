"""Background loops: one thread each in every server process, started and stopped with the server."""

import asyncio
import atexit
import threading
from collections.abc import Callable
from typing import Protocol

from django.conf import settings

from realtime import runtime
from realtime.types import Start

# How long a stop waits for a loop's current work.
STOP_TIMEOUT_SECONDS = 10.0


class Loop(Protocol):
    def run(self) -> None: ...

    def end(self) -> None: ...


class LoopThread:
    """A restartable thread that runs one loop at a time."""

    def __init__(self, name: str, make: Callable[[], Loop], setting: str) -> None:
        self._name = name
        self._make = make
        self._setting = setting
        self._lock = threading.Lock()
        self._running: tuple[Loop, threading.Thread] | None = None

    def start(self) -> None:
        """Start the loop, unless it runs or its setting is off."""
        if self._running is not None or not getattr(settings, self._setting):
            return
        with self._lock:
            if self._running is None:
                loop = self._make()
                # A daemon thread does not block the exit of a server that does not stop it; atexit stops it then.
                thread = threading.Thread(target=loop.run, name=self._name, daemon=True)
                self._running = (loop, thread)
                atexit.register(self.stop)
                thread.start()

    def stop(self) -> None:
        """End the loop and wait for its thread."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            loop, thread = running
            loop.end()
            thread.join(STOP_TIMEOUT_SECONDS)
            atexit.unregister(self.stop)


def starting(*threads: LoopThread) -> Start:
    """The start of a server with these loops, which the runtime stops."""

    async def start() -> None:
        for thread in threads:
            thread.start()
        runtime.current().on_close(stop)

    async def stop() -> None:
        await asyncio.gather(*(asyncio.to_thread(thread.stop) for thread in threads))

    return start
