"""A shutdown that clients do not notice: SIGTERM first ends the streams, spread over a window, then the server.

It stands before whichever handler the server has installed (uvicorn and daphne alike), and calls that one after the
window, or at once at a second signal. Until then all who come are answered, and told to come again on another
connection: a proxy may take as long to notice. Who presses Ctrl+C (SIGINT) waits only until the streams have ended.
"""

import asyncio
import multiprocessing
import signal
import threading
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any
from weakref import WeakSet

import structlog

from realtime.conf import conf
from realtime.delivery import hub
from realtime.delivery.sinks import CLOSE
from realtime.http import ending
from realtime.types import Application, Message, Scope, Send

logger = structlog.get_logger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)

# A client that reads nothing cannot be ended; the server's own shutdown gets rid of it.
GRACE_SECONDS = 1.0

# Ordinary requests that are under way at the end; not every server waits for them by itself.
REQUESTS_SECONDS = 10.0

# A worker may be told of one shutdown twice, for it is sent to all processes (systemd, a terminal), and the server's
# parent passes it on, which looks for it twice a second. Seconds in which that counts as one signal.
PASSED_ON_SECONDS = 2.0


class Drain:
    """The signal handlers of a process, put in front of the server's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._began_at = 0.0
        self._streams = 0
        self._is_over = asyncio.Event()
        self._servers = {signum: signal.getsignal(signum) for signum in SIGNALS}
        for signum in SIGNALS:
            signal.signal(signum, self._signalled)

    def _signalled(self, signum: int, frame: FrameType | None) -> None:
        if self._loop.is_closed():
            self._hand_on(signum)
        else:
            self._loop.call_soon_threadsafe(self._begin, signum)

    def _begin(self, signum: int) -> None:
        if in_progress():
            if not self._is_passed_on() and not self._is_over.is_set():
                self._finish(signum)
            return
        ending.begin()
        self._began_at = self._loop.time()
        hub.current().spawn(self._drain(signum))

    async def _drain(self, signum: int) -> None:
        work = asyncio.ensure_future(self._end_all(signum, conf.DRAIN_SECONDS))
        hurried = asyncio.ensure_future(self._is_over.wait())
        await asyncio.wait([work, hurried], return_when=asyncio.FIRST_COMPLETED)
        work.cancel()
        hurried.cancel()
        # Not after a second signal has been handed on: to a server two of them mean that it need not be graceful.
        if not self._is_over.is_set():
            self._finish(signum)

    async def _end_all(self, signum: int, seconds: float) -> None:
        streams = hub.current()
        self._streams = streams.open_count
        logger.info("drain_started", streams=streams.open_count, seconds=seconds)
        try:
            async with asyncio.timeout(seconds + GRACE_SECONDS):
                await streams.drain(seconds)
                if signum == signal.SIGTERM:
                    await asyncio.sleep(self._began_at + seconds - self._loop.time())
                    # Those that have come meanwhile.
                    await streams.wait_until_empty()
        except TimeoutError:
            logger.warning("drain_incomplete", streams=streams.open_count)
        under_way = [request for request in _under_way if request.get_loop() is self._loop]
        # Uvicorn's workers wait for theirs by themselves, and close their socket before: others accept on it.
        if under_way and not _is_worker():
            await asyncio.wait(under_way, timeout=REQUESTS_SECONDS)

    def _finish(self, signum: int) -> None:
        self._is_over.set()
        left, seconds = hub.current().open_count, round(self._loop.time() - self._began_at, 1)
        logger.info("drain_finished", drained=self._streams, left=left, seconds=seconds)
        hub.current().end_new_streams()
        self._hand_on(signum)

    def _is_passed_on(self) -> bool:
        return _is_worker() and self._loop.time() < self._began_at + PASSED_ON_SECONDS

    def _hand_on(self, signum: int) -> None:
        server = self._servers[signal.Signals(signum)]
        for restored in SIGNALS:
            signal.signal(restored, self._servers[restored])
        if callable(server):
            server(signum, None)
        else:
            signal.raise_signal(signum)


_under_way: set[asyncio.Task[Any]] = set()


def closing(application: Application) -> Application:
    """An ASGI application of ordinary requests: while the process drains, each answer is its connection's last, and
    those under way are waited for.
    """

    async def call(scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        async def send_last(message: Message) -> None:
            if message["type"] == "http.response.start" and in_progress():
                message = {**message, "headers": [*message.get("headers", ()), CLOSE]}
            await send(message)

        task = asyncio.current_task()
        assert task is not None
        _under_way.add(task)
        try:
            await application(scope, receive, send_last)
        finally:
            _under_way.discard(task)

    return call


# A proxy that can ask another process puts this header into its requests (deploy/nginx/locations.conf).
NEXT_UPSTREAM = (b"x-next-upstream", b"503")

HANDED_OVER = [(b"content-type", b"text/plain"), (b"content-length", b"0"), CLOSE]


def must_hand_over(scope: Scope | Message) -> bool:
    """True if this process is ending, and the request's proxy can ask another one.

    Clients get nothing but 200 (docs/wire-protocol.md). So a stream that begins during a drain is opened, and ends
    within what is left of it: its client connects twice, and most clients do at the drain's end. The proxy gets a 503
    instead, and its client sees none of it.
    """
    return in_progress() and NEXT_UPSTREAM in scope["headers"]


async def hand_over(send: Send) -> None:
    """Have the proxy ask another process."""
    await send({"type": "http.response.start", "status": 503, "headers": HANDED_OVER})
    await send({"type": "http.response.body", "body": b""})


def _is_worker() -> bool:
    return multiprocessing.parent_process() is not None


_prepared: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
in_progress = ending.in_progress


def prepare() -> None:
    """Stand before the server's signal handlers, once for each loop; only the main thread has any."""
    loop = asyncio.get_running_loop()
    if loop not in _prepared:
        _prepared.add(loop)
        if threading.current_thread() is threading.main_thread():
            Drain(loop)
