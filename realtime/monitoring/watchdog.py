"""A thread that sees when the event loop is held up, and writes to the log where."""

import sys
import threading
import traceback

import structlog

from realtime.monitoring import metrics
from realtime.monitoring.liveness import Pulse

logger = structlog.get_logger(__name__)

LOOK_SECONDS = 1.0

# It ticks once a second. So many looks without a tick, and something holds it up; a process that is stopped looks at
# nothing meanwhile.
LOOKS = 3


class Watchdog:
    """Watches the loop of the thread that makes it."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse = pulse
        self._watched = threading.get_ident()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="realtime-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop watching. Returns at once."""
        self._over.set()

    def _watch(self) -> None:
        ticks, looks = self._pulse.ticks, 0
        while not self._over.wait(LOOK_SECONDS):
            if self._pulse.ticks != ticks:
                if looks >= LOOKS:
                    logger.warning("event_loop_goes_on", seconds=looks * LOOK_SECONDS)
                ticks, looks = self._pulse.ticks, 0
                continue
            looks += 1
            if looks == LOOKS:
                metrics.loop_blocked.add()
                frame = sys._current_frames().get(self._watched)
                stack = traceback.format_stack(frame) if frame is not None else []
                logger.error("event_loop_blocked", seconds=looks * LOOK_SECONDS, stack="".join(stack))
