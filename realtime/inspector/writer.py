"""The thread that writes what the journal has noted: small transactions, one a second at most, none if nothing is new.

Nothing waits for it. A database that is away costs rows of the inspector and nothing else.
"""

import atexit
import threading
from collections import deque
from collections.abc import Callable
from datetime import datetime

import structlog
from django.db import connections
from django.utils import timezone

from realtime.inspector.ledger import Ledger, Notes
from realtime.inspector.models import HEARTBEAT_SECONDS
from realtime.inspector.records import Records

logger = structlog.get_logger(__name__)

# Between two writings, where there is more than fits into one.
PAUSE_SECONDS = 1.0

# After a failure.
RETRY_SECONDS = 5.0

# Notes that wait for a database that is away.
MOST_WAITING = 60

# A query that hangs is not waited for at the end.
END_SECONDS = 2.0


class Writer:
    """One thread, for one journal."""

    def __init__(self) -> None:
        self._ledger = Ledger()
        self._records = Records(self._ledger)
        self._lock = threading.Lock()
        self._waiting: deque[Notes] = deque(maxlen=MOST_WAITING)
        self._woken = threading.Event()
        self._ending = threading.Event()
        self._failing = False
        self._thread = threading.Thread(target=self._run, name="realtime-inspection", daemon=True)
        # For servers that do not say when they end.
        atexit.register(self.stop)
        self._thread.start()

    def put(self, notes: Notes) -> None:
        """Write this some time."""
        with self._lock:
            lost = self._waiting[0] if len(self._waiting) == MOST_WAITING else None
            self._waiting.append(notes)
            if lost is not None:
                # Of the streams the last word counts, and must not be lost.
                self._waiting[0].streams = lost.streams | self._waiting[0].streams
        self._woken.set()

    def stop(self) -> None:
        """Write what there is, and that the process has ended. Waits for that, though not for long."""
        atexit.unregister(self.stop)
        self._ending.set()
        self._woken.set()
        self._thread.join(END_SECONDS)

    def _run(self) -> None:
        while not self._ending.is_set():
            self._woken.clear()
            self._attempt(self._records.write)
            if self._failing:
                self._ending.wait(RETRY_SECONDS)
            elif self._ledger.is_due:
                self._ending.wait(PAUSE_SECONDS)
            else:
                self._woken.wait(HEARTBEAT_SECONDS)
        self._attempt(self._records.end)

    def _attempt(self, write: Callable[[datetime], None]) -> None:
        """Enter what waits, and write. A failure is logged once, until it succeeds again."""
        now = timezone.now()
        with self._lock:
            waiting = list(self._waiting)
            self._waiting.clear()
        for notes in waiting:
            self._ledger.take(notes, now)
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
        # Between two writings nothing is held: neither a place in the pool nor a connection that may have died.
        connections.close_all()
