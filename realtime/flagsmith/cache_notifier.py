"""Notifies Flagsmith's processes of new versions, and waits for their answers before the versions are sent to streams.

A client that has received an event may refetch from any process of Flagsmith, and no process may answer with an older
environment from its cache (``caches.py``). This runs in ``serve_realtime``, and in processes that publish to a GRIP
proxy.
"""

import math
import secrets
import threading
import time
from collections.abc import Iterable
from contextlib import ExitStack
from datetime import timedelta

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from django.utils import timezone

from realtime.bus import listening
from realtime.bus.listening import ListeningConnection
from realtime.failure_log import FailureLog
from realtime.flagsmith.cache_listener import (
    CHANNEL,
    LEASE_SECONDS,
    LOCK_CLASS,
    VersionsNotification,
    answer_channel,
    require_notifications,
)
from realtime.per_process import PerProcess
from realtime.types import EPOCH, EnvironmentKey, EnvironmentState, UpdatedAt

logger = structlog.get_logger(__name__)

# A task of a real Flagsmith may write a version this long after the change.
MAX_TASK_DELAY = timedelta(hours=1)

# The records of a process that has not answered after this time are not valid any more.
WAIT_SECONDS = LEASE_SECONDS + 0.2

# The pause after a failed attempt to connect.
RETRY_SECONDS = 30.0

LOCK_HOLDERS = f"""SELECT coalesce(string_agg(objid::text, ','), '') FROM pg_locks
WHERE granted AND locktype = 'advisory' AND classid = {LOCK_CLASS} AND objsubid = 2
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""  # noqa: S608
"""The second numbers of all locks, separated by commas."""


class CacheNotifier:
    """One of a process, with a connection of its own from the first version on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = 0
        """The notifier's number, a new one for each connection: no late answer of an earlier one arrives."""
        self._last = 0
        """The number of the last notification."""
        self._oldest: dict[EnvironmentKey, UpdatedAt] = {}
        """Versions than which nothing older is used from any cache, of the environments that were read here."""
        self._unanswering: set[int] = set()
        """The locks of processes that have not answered in time. Nothing waits for them until they answer."""
        self._connection: ListeningConnection | None = None
        self._stack = ExitStack()
        self._retry_at = -math.inf
        self._failures = FailureLog(logger, "cache_answers_not_received", seconds=WAIT_SECONDS)

    def wait_for_caches(self, states: Iterable[EnvironmentState]) -> None:
        """Wait until no process uses a cached environment that is older than one of these states.

        Raises what the database raises if it does not answer.
        """
        states = list(states)
        if not self._newer(states) or connections[DEFAULT_DB_ALIAS].vendor != "postgresql":
            return
        with self._lock:
            newer = self._newer(states)
            horizon = timezone.now() - _longest_in_cache()
            recent = [state.key for state in newer if state.key in self._oldest or state.updated_at > horizon]
            if recent:
                # An environment that is new here may have been renamed. Caches have it by its old key.
                has_new = any(key not in self._oldest for key in recent)
                self._notify(None if has_new else recent)
            self._oldest.update((state.key, state.updated_at) for state in newer)

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._disconnect()

    def _newer(self, states: list[EnvironmentState]) -> list[EnvironmentState]:
        return [state for state in states if state.updated_at > self._oldest.get(state.key, EPOCH)]

    def _notify(self, keys: list[EnvironmentKey] | None) -> None:
        self._last += 1
        try:
            connection = self._connected()
            self._wait_for_answers(connection, self._payload(keys))
            self._failures.succeeded()
        except Exception as error:
            # Its connection was closed, perhaps with those of all processes; or cannot be made. Then no answer arrives.
            self._disconnect()
            self._failures.failed(error)
            with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
                cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, self._payload(keys)])
            time.sleep(WAIT_SECONDS)

    def _payload(self, keys: list[EnvironmentKey] | None) -> str:
        return VersionsNotification(self._number, self._last, keys).encode()

    def _connected(self) -> ListeningConnection:
        if self._connection is None:
            if time.monotonic() < self._retry_at:
                raise ConnectionError(f"The last attempt has failed less than {RETRY_SECONDS:g} s ago")
            try:
                self._number = secrets.randbits(31)
                channel = answer_channel(self._number)
                connection = self._stack.enter_context(listening.connect("realtime-cache-notifier"))
                connection.query(f"LISTEN {channel}".encode())
                require_notifications(connection, channel)
            except Exception:
                self._retry_at = time.monotonic() + RETRY_SECONDS
                raise
            self._connection = connection
        return self._connection

    def _disconnect(self) -> None:
        self._connection = None
        self._stack.close()

    def _wait_for_answers(self, connection: ListeningConnection, payload: str) -> None:
        # A process that takes its lock after this statement compares with a database that has the versions.
        quoted = payload.replace("'", "''")
        notify = f"SELECT ({LOCK_HOLDERS}) FROM pg_notify('{CHANNEL}', '{quoted}')"  # noqa: S608
        missing = {int(lock) for lock in connection.query(notify.encode()).split(b",") if lock}
        # Not earlier: the commit of a notification may wait for other transactions.
        deadline = time.monotonic() + WAIT_SECONDS
        self._unanswering &= missing
        while True:
            for answer in connection.notifications():
                number, lock = map(int, answer.split(b":"))
                self._unanswering.discard(lock)
                if number == self._last:
                    missing.discard(lock)
            waiting_for = missing - self._unanswering
            if not waiting_for:
                return
            if time.monotonic() > deadline:
                logger.warning("cache_not_answered", processes=len(waiting_for), seconds=WAIT_SECONDS)
                self._unanswering |= waiting_for
                return
            connection.wait(silence=WAIT_SECONDS)


def _longest_in_cache() -> timedelta:
    """A version whose time is longer ago than this was written before any environment in a cache was read."""
    return MAX_TASK_DELAY + timedelta(seconds=getattr(settings, "ENVIRONMENT_CACHE_SECONDS", 0))


of_this_process = PerProcess(CacheNotifier)


def wait_for_caches(states: Iterable[EnvironmentState]) -> None:
    """``CacheNotifier.wait_for_caches`` of this process's notifier."""
    of_this_process().wait_for_caches(states)
