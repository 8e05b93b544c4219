"""Runs where events are delivered: has Flagsmith's processes compare their caches again before an event.

A client that has received an event may refetch from any process of Flagsmith, and no process may answer with an
environment of an older version from its cache (``caches.py``).
"""

import os
import secrets
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack

import structlog
from django.db import DEFAULT_DB_ALIAS, connections

from realtime.bus import listening
from realtime.bus.listening import ListeningConnection
from realtime.flagsmith.cache_listener import ANSWERS, CHANNEL, LOCK, TRUST_SECONDS
from realtime.types import EPOCH, EnvironmentKey, EnvironmentState, UpdatedAt

logger = structlog.get_logger(__name__)

# After this time a process that has not answered uses its cache no longer without a query.
ANSWER_SECONDS = TRUST_SECONDS + 0.2

# While answers are missing, the holders of the lock are read at this interval: a process may have ended.
CHECK_SECONDS = 0.05

HOLDERS = f"""SELECT coalesce(string_agg(pid::text, ','), '') FROM pg_locks
WHERE granted AND locktype = 'advisory' AND classid = {LOCK[0]} AND objid = {LOCK[1]} AND objsubid = 2
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""  # noqa: S608
"""The sessions that hold the lock: their PIDs, separated by commas."""


class CacheNotifier:
    """Has a connection of its own from the first version on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._acknowledged: dict[EnvironmentKey, UpdatedAt] = {}
        """The versions for which all processes have answered."""
        self._unanswering: set[str] = set()
        """The sessions of processes that have not answered in time. None waits for them again until they do."""
        self._connection: ListeningConnection | None = None
        self._stack = ExitStack()

    def wait_for_caches(self, states: Iterable[EnvironmentState]) -> None:
        """Wait until no process uses a cached environment that is older than one of these states.

        Raises what the database raises.
        """
        if connections[DEFAULT_DB_ALIAS].vendor != "postgresql":
            return
        with self._lock:
            newer = {
                state.key: state.updated_at
                for state in states
                if state.updated_at > self._acknowledged.get(state.key, EPOCH)
            }
            if newer:
                try:
                    self._notify(self._connected())
                except BaseException:
                    self._disconnect()
                    raise
                self._acknowledged |= newer

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._disconnect()

    def _connected(self) -> ListeningConnection:
        if self._connection is None:
            self._connection = self._stack.enter_context(listening.connect("realtime-cache-notifier"))
            self._connection.query(f"LISTEN {ANSWERS}".encode())
        return self._connection

    def _disconnect(self) -> None:
        self._connection = None
        self._stack.close()

    def _notify(self, connection: ListeningConnection) -> None:
        round_number = str(secrets.randbits(62))
        deadline = time.monotonic() + ANSWER_SECONDS
        # A process that takes the lock after this has read nothing from before the new versions.
        notify = f"SELECT ({HOLDERS}) FROM pg_notify('{CHANNEL}', '{round_number}')"  # noqa: S608
        missing = _pids(connection.query(notify.encode()))
        self._unanswering &= missing
        while True:
            for payload in connection.notifications():
                answered, _, pid = payload.decode().partition(":")
                self._unanswering.discard(pid)
                if answered == round_number:
                    missing.discard(pid)
            waiting_for = missing - self._unanswering
            if not waiting_for:
                return
            if time.monotonic() > deadline:
                logger.warning("cache_not_answered", sessions=sorted(waiting_for), seconds=ANSWER_SECONDS)
                self._unanswering |= waiting_for
                return
            holders = connection.wait(HOLDERS.encode(), CHECK_SECONDS)
            if holders is not None:
                missing &= _pids(holders)


def _pids(holders: bytes) -> set[str]:
    return set(filter(None, holders.decode().split(",")))


_current = CacheNotifier()


def versions_read(states: Iterable[EnvironmentState], **kwargs: object) -> None:
    """Receiver of ``hosts.versions_read``. If it fails, nothing is delivered yet, and the reconcile reads again."""
    _current.wait_for_caches(states)


def _forget() -> None:
    global _current
    _current = CacheNotifier()


os.register_at_fork(after_in_child=_forget)
