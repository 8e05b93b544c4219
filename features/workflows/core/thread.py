"""The scheduler inside of a server: one thread for each process, which a server starts and ends with itself."""

import asyncio
import atexit
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from django.conf import settings

from features.workflows.core.scheduler import Scheduler

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Lifespan = Callable[[Message, Receive, Send], Awaitable[None]]

# What is in hand at a shutdown is one transaction. If it takes longer than this, it is cut off, and undone.
END_SECONDS = 10.0


class SchedulerThread:
    """At most one at a time; it may be started again after it was stopped."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running: tuple[Scheduler, threading.Thread] | None = None

    def start(self) -> None:
        """Start it, unless it runs or ``RUN_SCHEDULER`` is off. Costs nothing when it runs, so any request may ask."""
        if self._running is not None or not settings.RUN_SCHEDULER:
            return
        with self._lock:
            if self._running is None:
                scheduler = Scheduler()
                # A daemon, so that a server that forgets to stop it can end; atexit stops it then.
                thread = threading.Thread(target=scheduler.run, name="scheduler", daemon=True)
                self._running = (scheduler, thread)
                atexit.register(self.stop)
                thread.start()

    def stop(self) -> None:
        """End it, and wait for that."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            scheduler, thread = running
            scheduler.end()
            thread.join(END_SECONDS)
            atexit.unregister(self.stop)


scheduler_thread = SchedulerThread()


def with_lifespan(application: Lifespan) -> Lifespan:
    """The lifespan's application, with a scheduler that runs as long as the server."""

    async def scheduled(scope: Message, receive: Receive, send: Send) -> None:
        async def observed() -> Message:
            message = await receive()
            if message["type"] == "lifespan.startup":
                scheduler_thread.start()
            elif message["type"] == "lifespan.shutdown":
                await asyncio.to_thread(scheduler_thread.stop)
            return message

        await application(scope, observed, send)

    return scheduled


def with_first_request(application: Any) -> Any:
    """An application whose first request starts the scheduler: for servers without a lifespan (daphne)."""

    async def scheduled(scope: Any, receive: Receive, send: Send) -> None:
        scheduler_thread.start()
        await application(scope, receive, send)

    return scheduled
