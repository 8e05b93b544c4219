"""Loops that run inside of a server: a thread each in every process, which the server starts and ends with itself."""

import asyncio
import atexit
import threading
from collections.abc import Callable
from typing import Any, Protocol

from django.conf import settings

from realtime.types import Application, Message, Receive, Send

# What a loop has in hand at a shutdown is short work. If it takes longer than this, it is cut off.
END_SECONDS = 10.0


class Loop(Protocol):
    def run(self) -> None: ...

    def end(self) -> None: ...


class LoopThread:
    """At most one at a time; it may be started again after it was stopped."""

    def __init__(self, name: str, make: Callable[[], Loop], setting: str) -> None:
        self._name = name
        self._make = make
        self._setting = setting
        self._lock = threading.Lock()
        self._running: tuple[Loop, threading.Thread] | None = None

    def start(self) -> None:
        """Start it, unless it runs or its setting is off. Costs nothing when it runs, so any request may ask."""
        if self._running is not None or not getattr(settings, self._setting):
            return
        with self._lock:
            if self._running is None:
                loop = self._make()
                # A daemon, so that a server that forgets to stop it can end; atexit stops it then.
                thread = threading.Thread(target=loop.run, name=self._name, daemon=True)
                self._running = (loop, thread)
                atexit.register(self.stop)
                thread.start()

    def stop(self) -> None:
        """End it, and wait for that."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            loop, thread = running
            loop.end()
            thread.join(END_SECONDS)
            atexit.unregister(self.stop)


def with_lifespan(application: Application, *threads: LoopThread) -> Application:
    """The lifespan's application, with loops that run as long as the server."""

    async def observed_application(scope: Message, receive: Receive, send: Send) -> None:
        async def observed() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                for thread in threads:
                    thread.start()
            elif message["type"] == "lifespan.shutdown":
                await asyncio.gather(*(asyncio.to_thread(thread.stop) for thread in threads))
            return message

        await application(scope, observed, send)

    return observed_application


def with_first_request(application: Any, *threads: LoopThread) -> Any:
    """An application whose first request starts the loops: for servers without a lifespan (daphne)."""

    async def observed_application(scope: Any, receive: Receive, send: Send) -> None:
        for thread in threads:
            thread.start()
        await application(scope, receive, send)

    return observed_application
