"""A thread that detects a blocked event loop, and logs its stack."""

import sys
import threading
import traceback

import structlog

from realtime import runtime
from realtime.monitoring import liveness, metrics

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
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="realtime-watchdog", daemon=True)
        self._thread.start()
        runtime.current().on_close(self._close)

    async def _close(self) -> None:
        self._stopped.set()

    def _watch(self) -> None:
        ticks, checks = self._pulse.ticks, 0
        while not self._stopped.wait(CHECK_SECONDS):
            if self._pulse.ticks != ticks:
                if checks >= MAX_CHECKS_WITHOUT_TICK:
                    logger.warning("event_loop_resumed", seconds=checks * CHECK_SECONDS)
                ticks, checks = self._pulse.ticks, 0
                continue
            checks += 1
            if checks == MAX_CHECKS_WITHOUT_TICK:
                metrics.loop_blocked.add()
                frame = sys._current_frames().get(self._watched)
                stack = traceback.format_stack(frame) if frame is not None else []
                logger.error("event_loop_blocked", seconds=checks * CHECK_SECONDS, stack="".join(stack))
