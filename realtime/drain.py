"""A shutdown that clients do not notice: SIGTERM first ends the streams, spread over a window, then the server.

It stands before whichever handler the server has installed (uvicorn and daphne alike), and calls that one when the
streams have ended, or at once at a second signal.
"""

import asyncio
import multiprocessing
import signal
import threading
from types import FrameType
from weakref import WeakSet

import structlog

from realtime import hub
from realtime.conf import conf

logger = structlog.get_logger(__name__)

SIGNALS = (signal.SIGTERM, signal.SIGINT)

# A client that reads nothing cannot be ended; the server's own shutdown gets rid of it.
GRACE_SECONDS = 1.0

# A worker may be told of one shutdown twice, for it is sent to all processes (systemd, a terminal), and the server's
# parent passes it on, which looks for it twice a second. Seconds in which that counts as one signal.
PASSED_ON_SECONDS = 2.0


class Drain:
    """The signal handlers of a process, put in front of the server's."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._began_at = 0.0
        self._handed_on = False
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
            if not self._is_passed_on():
                self._hand_on(signum)
            return
        _begun.set()
        self._began_at = self._loop.time()
        hub.current().spawn(self._drain(signum))

    async def _drain(self, signum: int) -> None:
        streams = hub.current()
        logger.info("drain_started", environments=len(streams.topics), seconds=conf.DRAIN_SECONDS)
        draining = asyncio.ensure_future(streams.drain(conf.DRAIN_SECONDS))
        await asyncio.wait([draining], timeout=conf.DRAIN_SECONDS + GRACE_SECONDS)
        if not draining.done():
            draining.cancel()
            logger.warning("drain_incomplete", environments=len(streams.topics))
        # Not after a second signal has been handed on: to a server two of them mean that it need not be graceful.
        if not self._handed_on:
            self._hand_on(signum)

    def _is_passed_on(self) -> bool:
        is_worker = multiprocessing.parent_process() is not None
        return is_worker and self._loop.time() < self._began_at + PASSED_ON_SECONDS

    def _hand_on(self, signum: int) -> None:
        self._handed_on = True
        server = self._servers[signal.Signals(signum)]
        for restored in SIGNALS:
            signal.signal(restored, self._servers[restored])
        if callable(server):
            server(signum, None)
        else:
            signal.raise_signal(signum)


_prepared: WeakSet[asyncio.AbstractEventLoop] = WeakSet()
_begun = threading.Event()


def in_progress() -> bool:
    """Whether this process is shutting down. To be asked from any thread."""
    return _begun.is_set()


def prepare() -> None:
    """Stand before the server's signal handlers, once for each loop; only the main thread has any."""
    loop = asyncio.get_running_loop()
    if loop not in _prepared:
        _prepared.add(loop)
        if threading.current_thread() is threading.main_thread():
            Drain(loop)
