"""The raising thread: raises the versions of changed environments and publishes them, outside of Flagsmith's requests.

It has its own database connection. So it holds no lock in a transaction of Flagsmith's, and no failure of it fails a
change. It reads changes after their commit: a reader of a version also reads the changes that raised it. If the process
ends before that, Flagsmith's own late write of the version is followed.
"""

import atexit
import os
import threading
import time
from collections.abc import Iterable
from typing import NamedTuple

import structlog
from django.db import connections

from realtime.changes import versions
from realtime.flagsmith.visibility import Collected, LoggedChange, environments_touched

logger = structlog.get_logger(__name__)

# Changes outside of a request wait so long for further ones of the same task, so that they share a version.
GATHER_SECONDS = 0.02

# An entry of the audit log waits until the request that it is about has ended, and its version is raised.
LOGGED_SECONDS = 3.0

RETRY_SECONDS = 1.0

# The thread ends, and its connection with it, when there has been nothing to do for so long.
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
    """A thread that starts with a change, and ends when there has been none for some seconds."""

    def __init__(self) -> None:
        self.failing = False
        """The last attempt has failed. Flagsmith's own writes are then let through (``late_writes.py``)."""
        self._changed = threading.Condition()
        self._waiting: list[Waiting] = []
        self._raising = False
        self._ending = False
        self._thread: threading.Thread | None = None
        atexit.register(self._end, os.getpid())

    def put(self, changes: Iterable[Collected], *, gather: bool = False) -> None:
        """Have the versions raised of the environments in which these committed changes show. Never waits.

        ``gather``: further changes may follow at once.
        """
        now = time.monotonic()
        with self._changed:
            for change in changes:
                is_delayed = isinstance(change, LoggedChange)
                seconds = LOGGED_SECONDS if is_delayed else GATHER_SECONDS * gather
                self._waiting.append(Waiting(now + seconds, change, is_delayed))
            self._start()
            self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Take all that waits now. False if it takes longer than this."""
        with self._changed:
            self._ending = True
            self._changed.notify_all()
            try:
                return self._changed.wait_for(lambda: not self._waiting and not self._raising, seconds)
            finally:
                self._ending = False

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="realtime-raising", daemon=True)
            self._thread.start()

    def _end(self, pid: int) -> None:
        # A child that was forked has no such thread.
        if pid == os.getpid():
            self.flush(END_SECONDS)

    def _run(self) -> None:
        try:
            while batch := self._next():
                try:
                    raise_versions([waiting.change for waiting in batch])
                except Exception:
                    if not self.failing:
                        logger.exception("versions_not_raised")
                    self.failing = True
                    connections.close_all()
                    self._put_back(batch)
                else:
                    self.failing = False
        finally:
            connections.close_all()

    def _next(self) -> list[Waiting]:
        """The changes that may be taken, as soon as there is one. None at all if the thread has been idle for long."""
        with self._changed:
            self._raising = False
            self._changed.notify_all()
            ends_at = time.monotonic() + IDLE_SECONDS
            while not (batch := self._take()):
                wakes_at = min((waiting.due for waiting in self._waiting), default=ends_at)
                seconds = wakes_at - time.monotonic()
                if seconds <= 0 and not self._waiting:
                    self._thread = None
                    return []
                self._changed.wait(max(0.0, seconds))
            self._raising = True
            return batch

    def _take(self) -> list[Waiting]:
        """What waits, once one of it may be taken; what is delayed, after its whole time."""
        now = time.monotonic()
        if self._ending or any(waiting.due <= now for waiting in self._waiting):
            waiting, self._waiting = self._waiting, []
            taken: list[Waiting] = []
            for each in waiting:
                is_taken = self._ending or each.due <= now or not each.is_delayed
                (taken if is_taken else self._waiting).append(each)
            return taken
        return []

    def _put_back(self, batch: list[Waiting]) -> None:
        due = time.monotonic() + RETRY_SECONDS
        with self._changed:
            self._waiting = [*(each._replace(due=due) for each in batch), *self._waiting][-MAX_WAITING:]
            self._ending = False


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


_lock = threading.Lock()
_current: RaisingThread | None = None


def current() -> RaisingThread:
    """This process's."""
    global _current
    with _lock:
        if _current is None:
            _current = RaisingThread()
        return _current


def _forget() -> None:
    """Threads do not survive a fork: the child starts its own."""
    global _lock, _current
    _lock, _current = threading.Lock(), None


os.register_at_fork(after_in_child=_forget)
