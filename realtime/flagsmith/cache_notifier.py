"""Notifies Flagsmith's processes of new versions, and waits for their answers before the versions are sent to streams.

A client that has received an event may refetch from any process of Flagsmith, and no process may answer with an older
environment from its cache (``caches.py``). This runs in ``serve_realtime``, and in processes that publish to a GRIP
proxy.
"""

import math
import os
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

from realtime import hosts
from realtime.bus import listening
from realtime.bus.listening import ListeningConnection
from realtime.flagsmith.cache_listener import CHANNEL, LOCKS, TRUST_SECONDS, Round, answers_to, require_notifications
from realtime.types import EnvironmentKey, EnvironmentState, UpdatedAt

logger = structlog.get_logger(__name__)

# A process that has not answered after this time relies no longer on what it knows.
WAIT_SECONDS = TRUST_SECONDS + 0.2

# After a failed attempt to connect none is made for this time.
RETRY_SECONDS = 5.0

HOLDERS = f"""SELECT coalesce(string_agg(objid::text, ','), '') FROM pg_locks
WHERE granted AND locktype = 'advisory' AND classid = {LOCKS} AND objsubid = 2
AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""  # noqa: S608
"""The numbers of the processes that hold a lock, separated by commas."""


class CacheNotifier:
    """One of a process, with a connection of its own from the first version on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._number = secrets.randbits(31)
        self._round = 0
        self._acknowledged: dict[EnvironmentKey, UpdatedAt] = {}
        """The recent versions of which all processes know."""
        self._unanswering: set[int] = set()
        """The processes that have not answered in time. Nothing waits for them until they answer."""
        self._connection: ListeningConnection | None = None
        self._stack = ExitStack()
        self._retry_at = -math.inf
        self._failing = False

    def wait_for_caches(self, states: Iterable[EnvironmentState]) -> None:
        """Wait until no process uses a cached environment that is older than one of these states.

        Raises what the database raises if it does not answer.
        """
        states = list(states)
        if not self._newer(states) or connections[DEFAULT_DB_ALIAS].vendor != "postgresql":
            return
        with self._lock:
            if newer := self._newer(states):
                self._notify(list(newer))
                oldest = _oldest()
                recent = {key: version for key, version in self._acknowledged.items() if version > oldest}
                self._acknowledged = recent | newer

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._disconnect()

    def _newer(self, states: list[EnvironmentState]) -> dict[EnvironmentKey, UpdatedAt]:
        """The versions of which a process may not know."""
        oldest = _oldest()
        return {
            state.key: state.updated_at
            for state in states
            if state.updated_at > self._acknowledged.get(state.key, oldest) and state.updated_at > oldest
        }

    def _notify(self, keys: list[EnvironmentKey]) -> None:
        self._round += 1
        payload = Round(self._number, self._round, keys).encode()
        try:
            self._wait_for_answers(self._connected(), payload)
            self._failing = False
        except Exception as error:
            # Its connection was closed, perhaps with those of all processes; or cannot be made. Then no answer arrives.
            self._disconnect()
            if not self._failing:
                logger.warning("cache_answers_not_received", error=repr(error), seconds=WAIT_SECONDS)
            self._failing = True
            with connections[DEFAULT_DB_ALIAS].cursor() as cursor:
                cursor.execute("SELECT pg_notify(%s, %s)", [CHANNEL, payload])
            time.sleep(WAIT_SECONDS)

    def _connected(self) -> ListeningConnection:
        if self._connection is None:
            if time.monotonic() < self._retry_at:
                raise ConnectionError(f"The last attempt has failed less than {RETRY_SECONDS:g} s ago")
            self._retry_at = time.monotonic() + RETRY_SECONDS
            channel = answers_to(self._number)
            connection = self._stack.enter_context(listening.connect("realtime-cache-notifier"))
            connection.query(f"LISTEN {channel}".encode())
            require_notifications(connection, channel)
            self._connection, self._retry_at = connection, -math.inf
        return self._connection

    def _disconnect(self) -> None:
        self._connection = None
        self._stack.close()

    def _wait_for_answers(self, connection: ListeningConnection, payload: str) -> None:
        # A process that takes its lock after this statement compares with a database that has the versions.
        quoted = payload.replace("'", "''")
        notify = f"SELECT ({HOLDERS}) FROM pg_notify('{CHANNEL}', '{quoted}')"  # noqa: S608
        missing = {int(process) for process in connection.query(notify.encode()).split(b",") if process}
        # Not earlier: the commit of a notification may wait for other transactions.
        deadline = time.monotonic() + WAIT_SECONDS
        self._unanswering &= missing
        while True:
            for answer in connection.notifications():
                number, process = map(int, answer.split(b":"))
                self._unanswering.discard(process)
                if number == self._round:
                    missing.discard(process)
            waiting_for = missing - self._unanswering
            if not waiting_for:
                return
            if time.monotonic() > deadline:
                logger.warning("cache_not_answered", processes=len(waiting_for), seconds=WAIT_SECONDS)
                self._unanswering |= waiting_for
                return
            connection.wait(silence=WAIT_SECONDS)


def _oldest() -> UpdatedAt:
    """No cache holds an environment that is older than a version before this time."""
    seconds = getattr(settings, "ENVIRONMENT_CACHE_SECONDS", 0)
    return timezone.now() - hosts.MAX_TASK_DELAY - timedelta(seconds=seconds)


_current = CacheNotifier()
_inherited: list[CacheNotifier] = []
"""Of a parent process: with the object, its connection would be closed, and with it the parent's session."""


def versions_read(states: Iterable[EnvironmentState], **kwargs: object) -> None:
    """Receiver of ``hosts.versions_read``. If it fails, nothing is delivered, and the reconcile reads again."""
    _current.wait_for_caches(states)


def _forget() -> None:
    global _current
    _inherited.append(_current)
    _current = CacheNotifier()


os.register_at_fork(after_in_child=_forget)
