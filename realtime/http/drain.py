"""Graceful shutdown: SIGTERM first ends the streams, spread over ``DRAIN_SECONDS``, and then stops the server.

The drain replaces the server's signal handlers (uvicorn's or daphne's), and calls the server's own after the window, or
at once at a second signal. During the window new requests still get responses, with ``Connection: close``, because a
proxy may take as long to stop sending them. SIGINT (Ctrl+C) waits only until the streams have ended. A drop-in server
or a relay without streams stops at once, as Flagsmith's own SSE server and Edge Proxy do.
"""

import asyncio
import multiprocessing
import signal
import threading
from collections.abc import Awaitable, Callable
from types import FrameType
from typing import Any

import structlog

from realtime import hosts, runtime
from realtime.conf import conf
from realtime.delivery import hub
from realtime.delivery.sinks import CLOSE
from realtime.http import shutdown
from realtime.types import Application, Message, Scope, Send

logger = structlog.get_logger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)

# The time after the window for streams that cannot end because their clients do not read. The server aborts them.
GRACE_SECONDS = 1.0

# How long the drain waits for ordinary requests under way; not every server waits for them by itself.
REQUESTS_SECONDS = 10.0

# A worker may get the signal of one shutdown twice: directly (systemd and terminals signal all processes), and from the
# parent process, which checks for signals twice a second. Signals within this time count as one.
DUPLICATE_SECONDS = 2.0


class Drain:
    """The signal handlers that drain this process, and then call the server's. Only the main thread has any."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._began_at = 0.0
        self._streams_at_start = 0
        self._finished = asyncio.Event()
        self._server_handlers = {signum: signal.getsignal(signum) for signum in SIGNALS}
        if threading.current_thread() is threading.main_thread():
            for signum in SIGNALS:
                signal.signal(signum, self._handle)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._loop.is_closed():
            self._call_server(signum)
        else:
            self._loop.call_soon_threadsafe(self._begin, signum)

    def _begin(self, signum: int) -> None:
        if in_progress():
            if not self._is_duplicate() and not self._finished.is_set():
                self._finish(signum)
            return
        shutdown.begin()
        self._began_at = self._loop.time()
        hub.current().spawn(self._drain(signum))

    async def _drain(self, signum: int) -> None:
        work = asyncio.ensure_future(self._end_all(signum, conf.DRAIN_SECONDS))
        second_signal = asyncio.ensure_future(self._finished.wait())
        await asyncio.wait([work, second_signal], return_when=asyncio.FIRST_COMPLETED)
        work.cancel()
        second_signal.cancel()
        # Not if a second signal has done it: a server that gets two signals aborts its requests.
        if not self._finished.is_set():
            self._finish(signum)

    async def _end_all(self, signum: int, seconds: float) -> None:
        current_hub = hub.current()
        self._streams_at_start = current_hub.open_count
        logger.info("drain_started", streams=current_hub.open_count, seconds=seconds)
        try:
            async with asyncio.timeout(seconds + GRACE_SECONDS):
                await current_hub.drain(seconds)
                if signum == signal.SIGTERM and (self._streams_at_start or not hosts.current().stops_without_streams):
                    await asyncio.sleep(self._began_at + seconds - self._loop.time())
                    # Streams that have been opened meanwhile.
                    await current_hub.wait_until_empty()
        except TimeoutError:
            logger.warning("drain_incomplete", streams=current_hub.open_count)
        under_way = [request for request in _under_way if request.get_loop() is self._loop]
        # Uvicorn's workers wait for their requests themselves, after they have closed the socket that they share.
        if under_way and not _is_worker():
            await asyncio.wait(under_way, timeout=REQUESTS_SECONDS)

    def _finish(self, signum: int) -> None:
        self._finished.set()
        left, seconds = hub.current().open_count, round(self._loop.time() - self._began_at, 1)
        logger.info("drain_finished", drained=self._streams_at_start, left=left, seconds=seconds)
        hub.current().end_new_streams()
        self._call_server(signum)

    def _is_duplicate(self) -> bool:
        return _is_worker() and self._loop.time() < self._began_at + DUPLICATE_SECONDS

    def _call_server(self, signum: int) -> None:
        for restored in SIGNALS:
            signal.signal(restored, self._server_handlers[restored])
        handler = self._server_handlers[signal.Signals(signum)]
        if callable(handler):
            handler(signum, None)
        else:
            signal.raise_signal(signum)


_under_way: set[asyncio.Task[Any]] = set()


def close_connections(application: Application) -> Application:
    """ASGI middleware for ordinary requests: ``Connection: close`` during a drain, which waits for the requests."""

    async def call(scope: Message, receive: Callable[[], Awaitable[Message]], send: Send) -> None:
        async def send_closing(message: Message) -> None:
            if message["type"] == "http.response.start" and in_progress():
                message = {**message, "headers": [*message.get("headers", ()), CLOSE]}
            await send(message)

        task = asyncio.current_task()
        assert task is not None
        _under_way.add(task)
        try:
            await application(scope, receive, send_closing)
        finally:
            _under_way.discard(task)

    return call


# A proxy that can retry a request at another process adds this header (deploy/nginx/locations.conf).
NEXT_UPSTREAM = (b"x-next-upstream", b"503")

HAND_OVER_HEADERS = [(b"content-type", b"text/plain"), (b"content-length", b"0"), CLOSE]


def must_hand_over(scope: Scope | Message) -> bool:
    """True if this process is shutting down, and the request's proxy can retry at another process.

    Clients must not get anything but 200 (docs/wire-protocol.md). So a stream that connects during a drain is opened,
    and ends before the drain does; its client has to connect again. A proxy gets a 503 instead, and retries.
    """
    return in_progress() and NEXT_UPSTREAM in scope["headers"]


async def hand_over(send: Send) -> None:
    """Send the 503 after which the proxy retries at another process."""
    await send({"type": "http.response.start", "status": 503, "headers": HAND_OVER_HEADERS})
    await send({"type": "http.response.body", "body": b""})


def _is_worker() -> bool:
    return multiprocessing.parent_process() is not None


in_progress = shutdown.in_progress


def install_signal_handlers() -> None:
    """Replace the server's signal handlers, once for each loop."""
    runtime.current().get(Drain)
