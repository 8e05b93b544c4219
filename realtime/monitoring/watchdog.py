"""A thread that detects a blocked event loop, and logs its stack."""

import asyncio
import sys
import threading
import traceback

import structlog

from realtime import runtime
from realtime.failure_log import FailureLog
from realtime.monitoring import liveness, metrics
from realtime.workers import BackgroundWorker

logger = structlog.get_logger(__name__)

CHECK_SECONDS = 1.0

# The loop ticks once a second. After this number of checks without a tick it is blocked. A stopped process is not
# reported, because this thread is stopped as well.
MAX_CHECKS_WITHOUT_TICK = 3


class Watchdog:
    """Watches the event loop of the thread in which it is made."""

    def __init__(self) -> None:
        self._pulse = liveness.current()
        self._watched = threading.get_ident()
        self._ticks = self._pulse.ticks
        self._checks = 0
        """The checks since the last tick."""
        failures = FailureLog(logger, "watchdog_failed", has_stack=True)
        self._worker = BackgroundWorker("realtime-watchdog", self._check, failures, delay=lambda: CHECK_SECONDS)
        self._worker.start()
        runtime.current().on_close(self._close)

    async def _close(self) -> None:
        await asyncio.to_thread(self._worker.stop)

    def _check(self) -> float:
        if self._pulse.ticks != self._ticks:
            if self._checks >= MAX_CHECKS_WITHOUT_TICK:
                logger.warning("event_loop_resumed", seconds=self._checks * CHECK_SECONDS)
            self._ticks, self._checks = self._pulse.ticks, 0
            return CHECK_SECONDS
        self._checks += 1
        if self._checks == MAX_CHECKS_WITHOUT_TICK:
            metrics.loop_blocked.add()
            frame = sys._current_frames().get(self._watched)
            stack = traceback.format_stack(frame) if frame is not None else []
            logger.error("event_loop_blocked", seconds=self._checks * CHECK_SECONDS, stack="".join(stack))
        return CHECK_SECONDS
