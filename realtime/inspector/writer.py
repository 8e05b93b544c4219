"""A thread that writes the journal's observations to the database, in at most one small transaction per second.

Nothing waits for it. If the database is unavailable, only the inspector's rows are lost.
"""

import atexit
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime

import structlog
from django.db import connections
from django.utils import timezone

from realtime.inspector.models import HEARTBEAT_SECONDS
from realtime.inspector.pending_rows import Observations, PendingRows
from realtime.inspector.records import Records

logger = structlog.get_logger(__name__)

# The pause between two transactions, if the rows do not fit into one.
PAUSE_SECONDS = 1.0

# The pause after a failure.
RETRY_SECONDS = 5.0

# Observations, of a second each, that are kept while the database is unavailable.
MAX_WAITING = 60

# The longest time for which ``stop`` waits for the thread.
STOP_SECONDS = 2.0


class Writer:
    """The writing thread of one journal."""

    def __init__(self) -> None:
        self._pending = PendingRows()
        self._records = Records(self._pending)
        self._lock = threading.Lock()
        self._waiting: deque[Observations] = deque(maxlen=MAX_WAITING)
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="realtime-inspection", daemon=True)
        # For servers that do not run the lifespan protocol.
        atexit.register(self.stop)
        self._thread.start()

    def put(self, observations: Observations) -> None:
        """Queue observations for the thread."""
        with self._lock:
            dropped = self._waiting[0] if len(self._waiting) == MAX_WAITING else None
            self._waiting.append(observations)
            if dropped is not None:
                # Keep the newest numbers of streams, which are written only when they change.
                self._waiting[0].streams = dropped.streams | self._waiting[0].streams
        self._woken.set()

    def stop(self) -> None:
        """Write the rest and mark the process as ended. Waits up to ``STOP_SECONDS``."""
        atexit.unregister(self.stop)
        self._stopping.set()
        self._woken.set()
        self._thread.join(STOP_SECONDS)

    def _run(self) -> None:
        while not self._stopping.is_set():
            self._woken.clear()
            self._attempt(self._records.write)
            if self._failing:
                self._stopping.wait(RETRY_SECONDS)
            elif self._pending.is_due:
                self._stopping.wait(PAUSE_SECONDS)
            else:
                self._woken.wait(HEARTBEAT_SECONDS)
        self._attempt(self._records.end)

    def _attempt(self, write: Callable[[datetime], None]) -> None:
        """Add the queued observations to the pending rows, and write. A failure is logged once until success."""
        now = timezone.now()
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
        for observations in waiting:
            self._pending.add(observations, now)
        try:
            write(now)
        except Exception as error:
            if not self._failing:
                logger.warning("inspection_not_written", error=repr(error))
            self._failing = True
        else:
            if self._failing:
                logger.info("inspection_written_again")
            self._failing = False
        # Hold no connection between two transactions: neither one of the pool nor one that the database may close.
        connections.close_all()
