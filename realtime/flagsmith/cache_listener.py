"""Records, in each process of Flagsmith, which cached environments need no comparison with the database.

A thread holds an advisory lock of PostgreSQL and listens on a channel. Before ``serve_realtime`` sends a version to
streams, it notifies the channel and waits for the answer of each holder of such a lock (``cache_notifier.py``). So no
client has received a version that is newer than a recorded one.
"""

import json
import math
import secrets
import threading
import time
from typing import NamedTuple, Self

import structlog
from django.db import DEFAULT_DB_ALIAS, connections

from realtime import hosts
from realtime.bus import listening
from realtime.bus.listening import ListeningConnection
from realtime.bus.supervised import ANSWER_SECONDS
from realtime.failure_log import FailureLog
from realtime.per_process import PerProcess
from realtime.types import EnvironmentKey, UpdatedAt
from realtime.workers import BackgroundWorker

logger = structlog.get_logger(__name__)

CHANNEL = "realtime_caches"
"""The channel of notifications (``VersionsNotification``)."""

LOCK_CLASS = 0x7265616C
"""The first number of the advisory locks. The second one is random for each connection, and is in its answers."""

# A process that is stopped, or cut off from PostgreSQL, does not answer. So the records are valid only for this time
# after the thread has sent the last query that PostgreSQL has answered. The notifier waits longer than that.
LEASE_SECONDS = 1.0
PING_SECONDS = 0.25

# The first and the longest pause between two attempts to connect. A process that is too slow to answer disconnects, so
# that events do not wait for it again and again.
PAUSES = (1.0, 30.0)

# The first request of a process waits at most so long until the thread is connected.
START_SECONDS = 1.0

# While the test of a new connection waits for its notification.
POLL_SECONDS = 0.1

# The longest payload of a notification, in bytes.
MAX_PAYLOAD = 7_999

KnownVersions = dict[EnvironmentKey, UpdatedAt]
"""Versions that need no comparison with the database, by environments' keys."""


class VersionsNotification(NamedTuple):
    """The notification that versions have risen."""

    notifier: int
    number: int
    keys: list[EnvironmentKey] | None
    """The environments; None: all of them."""

    @property
    def answer_channel(self) -> str:
        """The channel of the answers. An answer is ``NUMBER:LOCK``: this number, and the second one of the lock."""
        return answer_channel(self.notifier)

    def encode(self) -> str:
        """The payload. It names no environments if they are too many for one."""
        text = json.dumps(self)
        return text if len(text.encode()) <= MAX_PAYLOAD else json.dumps(self._replace(keys=None))

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Raises ValueError or TypeError if the payload is no such notification."""
        notifier, number, keys = json.loads(payload)
        return cls(int(notifier), int(number), keys)


def answer_channel(notifier: int) -> str:
    return f"realtime_cache_answers_{notifier}"


class CacheListener:
    """The background worker, which starts at the first use, and the records."""

    def __init__(self) -> None:
        self._known: KnownVersions = {}
        self._valid_until = -math.inf
        self._has_tried = threading.Event()
        self.worker = BackgroundWorker(
            "realtime-cache-listener",
            self._connect,
            FailureLog(logger, "cache_listener_failed"),
            pauses=PAUSES,
            stop_seconds=0.0,
        )

    def known_versions(self) -> KnownVersions | None:
        """The recorded versions, or None while the thread is not connected.

        The caller may add a version that was read from the database after this call. If the version has risen since,
        another dict is in use, and the addition has no effect.
        """
        try:
            self.worker.start()
        except RuntimeError as error:
            # The system has no thread left. The next request tries again.
            self.worker.failures.failed(error)
            return None
        if not self._has_tried.is_set():
            self._has_tried.wait(START_SECONDS)
            self._has_tried.set()
        return self._known if time.monotonic() < self._valid_until else None

    def _connect(self) -> None:
        try:
            with listening.connect("realtime-cache") as connection:
                self._listen(connection)
        finally:
            self._valid_until = -math.inf
            self._has_tried.set()

    def _listen(self, connection: ListeningConnection) -> None:
        # A new number for each connection: the notifier may have stopped waiting for the last one.
        lock = secrets.randbits(31)
        connection.query(f"LISTEN {CHANNEL}".encode())
        require_notifications(connection, CHANNEL)
        connection.query(b"SELECT pg_advisory_lock_shared(%d, %d)" % (LOCK_CLASS, lock))
        # Only now, because before it has the lock nothing waits for it.
        self._known = {}
        while not self.worker.is_ending:
            if notifications := _received(connection):
                self._remove(notifications)
                for each in notifications:
                    answer = f"SELECT pg_notify('{each.answer_channel}', '{each.number}:{lock}')"
                    connection.query(answer.encode())
            else:
                self._valid_until = connection.confirmed_at + LEASE_SECONDS
                self.worker.failures.succeeded()
                self._has_tried.set()
                connection.wait(silence=PING_SECONDS)
                if time.monotonic() > self._valid_until:
                    raise TimeoutError(f"The process or PostgreSQL has not answered for {LEASE_SECONDS:g} s")

    def _remove(self, notifications: list[VersionsNotification]) -> None:
        """Replace the dict, without these environments: threads may still add to the old one."""
        known = self._known.copy()
        for each in notifications:
            if each.keys is None:
                known.clear()
            else:
                for key in each.keys:
                    known.pop(key, None)
        self._known = known


def _received(connection: ListeningConnection) -> list[VersionsNotification]:
    """The notifications that have arrived."""
    notifications = []
    for payload in connection.notifications():
        try:
            notifications.append(VersionsNotification.decode(payload))
        except (TypeError, ValueError):
            # The test of another process (``require_notifications``).
            continue
    return notifications


def require_notifications(connection: ListeningConnection, channel: str) -> None:
    """Raise ConnectionError if no notification of another session arrives on this channel, to which it listens.

    This is so behind a pooler that shares sessions. There, a session would still receive its own notifications.
    """
    with listening.connect("realtime-cache-test") as other:
        other.query(f"SELECT pg_notify('{channel}', 'test')".encode())
    deadline = time.monotonic() + ANSWER_SECONDS
    while not any(connection.notifications()):
        if time.monotonic() > deadline:
            raise ConnectionError("No notification arrives. Behind a pooler, set REALTIME_BUS_DATABASE_URL.")
        # Without a ping, for which a pooler would connect it to a session.
        connection.wait(silence=math.inf, at_most=POLL_SECONDS)


of_this_process = PerProcess(CacheListener)


def current() -> CacheListener | None:
    """This process's listener. None if versions are not raised by this app, or the database has no notifications."""
    is_used = hosts.current().raises_in_flagsmith and connections[DEFAULT_DB_ALIAS].vendor == "postgresql"
    return of_this_process() if is_used else None
