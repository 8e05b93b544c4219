"""The raising thread: raises the versions of changed environments and publishes them, outside of Flagsmith's requests.

It has its own database connection. So it holds no lock in a transaction of Flagsmith's, and no failure of it fails a
change. It reads changes after their commit: a reader of a version also reads the changes that raised it. If the process
ends before that, Flagsmith's own late write of the version is followed.
"""

import threading
import time
from collections.abc import Iterable
from typing import NamedTuple

import structlog
from django.db import connections

from realtime.changes import versions
from realtime.failure_log import FailureLog
from realtime.flagsmith.visibility import Collected, LoggedChange, environments_touched
from realtime.per_process import PerProcess
from realtime.workers import BackgroundWorker

logger = structlog.get_logger(__name__)

# Changes outside of a request wait so long for further ones of the same task, so that they share a version.
GATHER_SECONDS = 0.02

# An entry of the audit log waits until the request that it is about has ended, and its version is raised.
LOGGED_SECONDS = 3.0

RETRY_SECONDS = 1.0

# The thread closes its connection when there has been nothing to do for so long.
IDLE_SECONDS = 5.0

# A process that ends waits so long for its last changes.
END_SECONDS = 2.0

# Changes that wait while the database takes nothing. Beyond that the oldest are left to the late writes.
MAX_WAITING = 10_000


class Waiting(NamedTuple):
    """A change that waits for the thread."""

    due: float
    """The time from which it may be taken."""
    change: Collected
    is_delayed: bool
    """It is not taken earlier together with others."""


class RaisingThread:
    """A background worker that starts with the first change."""

    def __init__(self) -> None:
        self.worker = BackgroundWorker(
            "realtime-raising",
            self._raise_due,
            FailureLog(logger, "versions_not_raised", has_stack=True),
            pauses=(RETRY_SECONDS, RETRY_SECONDS),
            stop_seconds=END_SECONDS,
            finish=self._raise_all,
        )
        self._lock = threading.Lock()
        self._waiting: list[Waiting] = []
        self._used_at = 0.0

    @property
    def is_failing(self) -> bool:
        """The last attempt has failed. Flagsmith's own writes are then let through (``late_writes.py``)."""
        return self.worker.failures.is_failing

    def put(self, changes: Iterable[Collected], *, gather: bool = False) -> None:
        """Have the versions raised of the environments in which these committed changes show. Never waits.

        ``gather``: further changes may follow at once.
        """
        now = time.monotonic()
        with self._lock:
            for change in changes:
                is_delayed = isinstance(change, LoggedChange)
                seconds = LOGGED_SECONDS if is_delayed else GATHER_SECONDS * gather
                self._waiting.append(Waiting(now + seconds, change, is_delayed))
        self.worker.start()
        self.worker.wake()

    def _raise_due(self) -> float | None:
        """Raise the versions of what may be taken. Returns the seconds until more may be, or the thread is idle."""
        if batch := self._take():
            self._raise(batch)
            self._used_at = time.monotonic()
        now = time.monotonic()
        with self._lock:
            if self._waiting:
                return max(0.0, min(waiting.due for waiting in self._waiting) - now)
        if now >= self._used_at + IDLE_SECONDS:
            connections.close_all()
            return None
        return IDLE_SECONDS

    def _raise_all(self) -> None:
        if batch := self._take(everything=True):
            self._raise(batch)

    def _take(self, *, everything: bool = False) -> list[Waiting]:
        """What waits, once one of it may be taken; what is delayed, after its whole time."""
        now = time.monotonic()
        with self._lock:
            if not everything and not any(waiting.due <= now for waiting in self._waiting):
                return []
            waiting, self._waiting = self._waiting, []
            taken: list[Waiting] = []
            for each in waiting:
                is_taken = everything or each.due <= now or not each.is_delayed
                (taken if is_taken else self._waiting).append(each)
            return taken

    def _raise(self, batch: list[Waiting]) -> None:
        """Raise the versions. If that fails, the changes wait again, and are taken with the next ones."""
        try:
            raise_versions([waiting.change for waiting in batch])
        except Exception:
            with self._lock:
                self._waiting = [*batch, *self._waiting][-MAX_WAITING:]
            raise


def raise_versions(changes: list[Collected]) -> None:
    """Raise the versions of the environments in which these changes show, in a transaction with their events.

    Entries of the audit log come last: they may be about changes that are announced with the others.
    """
    logged = [change for change in changes if isinstance(change, LoggedChange)]
    others = [change for change in changes if not isinstance(change, LoggedChange)]
    for batch in (others, logged):
        if batch and (visible := environments_touched(batch)).environments:
            if batch is logged:
                logger.info("logged_change_raised", environments=sorted(visible.environments))
            versions.announce(visible.environments, gate=visible.gate)


current = PerProcess(RaisingThread)
"""This process's."""
