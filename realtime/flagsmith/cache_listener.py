"""Runs in each process of Flagsmith with a cache of environments: which of them are known to have the newest version.

A process holds a shared advisory lock of PostgreSQL and listens on a channel. Before a new version is sent to streams,
``serve_realtime`` notifies the channel and waits for an answer of each holder of the lock (``cache_notifier.py``). So
until a process is notified, no client can have received a version that is newer than what the process has read since
the last notification.
"""

import math
import os
import threading
import time
from typing import Any

import structlog
from django.db import DEFAULT_DB_ALIAS, connections

from realtime.bus import listening
from realtime.bus.listening import ListeningConnection
from realtime.bus.supervised import ANSWER_SECONDS
from realtime.conf import conf
from realtime.types import UpdatedAt

logger = structlog.get_logger(__name__)

CHANNEL = "realtime_caches"
"""The payload of a notification is the number of a round."""

ANSWERS = "realtime_cache_answers"
"""The channel of answers, with payloads ``ROUND:PID``. The PID is that of the session in PostgreSQL."""

LOCK = (0x7265616C, 1)
"""The two numbers of the advisory lock."""

START = "start"
"""A payload that asks for no answer: a process has begun to listen."""

# A process that is not connected, or has stopped, does not answer. So it relies on what it has read only for this time
# after it sent the last query that PostgreSQL has answered, and then no longer, until it has received what it has
# missed. ``serve_realtime`` waits longer than that for an answer.
TRUST_SECONDS = 1.0
PING_SECONDS = 0.25

RETRY_SECONDS = 1.0

# The first request of a process waits at most so long until the connection is made.
START_SECONDS = 1.0

Checked = dict[Any, UpdatedAt]
"""Versions by environments' primary keys."""


class CacheListener:
    """A thread that starts with the first use. While it is not connected, nothing is known."""

    def __init__(self) -> None:
        self._checked: Checked = {}
        self._valid_until = -math.inf
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._has_tried = threading.Event()
        self._ended = threading.Event()
        self._failing = False

    def checked(self) -> Checked | None:
        """The versions that are the database's, as far as any client can know; None if this cannot be said now.

        A version may be added that was read from the database after this call. If it has risen since, the result is in
        use no longer, and nothing is wrong.
        """
        if self._thread is None:
            self._start()
        if not self._has_tried.is_set():
            self._has_tried.wait(START_SECONDS)
            self._has_tried.set()
        return self._checked if time.monotonic() < self._valid_until else None

    def close(self, timeout: float | None = None) -> None:
        """End the thread."""
        self._ended.set()
        if self._thread is not None:
            self._thread.join(timeout)

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="realtime-cache-listener", daemon=True)
                self._thread.start()

    def _run(self) -> None:
        while not self._ended.is_set():
            try:
                with listening.connect("realtime-cache") as connection:
                    self._listen(connection)
            except Exception as error:
                if not self._failing:
                    logger.warning("cache_listener_failed", error=repr(error))
                self._failing = True
            finally:
                self._valid_until = -math.inf
                self._has_tried.set()
            self._ended.wait(RETRY_SECONDS)

    def _listen(self, connection: ListeningConnection) -> None:
        connection.query(f"LISTEN {CHANNEL}".encode())
        _test(connection)
        connection.query(b"SELECT pg_advisory_lock_shared(%d, %d)" % LOCK)
        self._checked = {}
        while not self._ended.is_set():
            rounds = [int(payload) for payload in connection.notifications() if payload.isdigit()]
            if rounds:
                self._checked = {}
                connection.query(_answer(rounds))
            else:
                self._valid_until = connection.confirmed_at + TRUST_SECONDS
                self._failing = False
                self._has_tried.set()
                connection.wait(silence=PING_SECONDS)


def _answer(rounds: list[int]) -> bytes:
    answer = f"SELECT pg_notify('{ANSWERS}', round || ':' || pg_backend_pid())"
    return f"{answer} FROM unnest(ARRAY{rounds}) AS round".encode()


def _test(connection: ListeningConnection) -> None:
    """Raise ConnectionError if no notification arrives, as through a pooler that shares sessions."""
    connection.query(f"SELECT pg_notify('{CHANNEL}', '{START}')".encode())
    deadline = time.monotonic() + ANSWER_SECONDS
    while not any(connection.notifications()):
        if time.monotonic() > deadline:
            raise ConnectionError("No notification arrives. Behind a pooler, set REALTIME_BUS_DATABASE_URL.")
        connection.wait(silence=PING_SECONDS)


_lock = threading.Lock()
_current: CacheListener | None = None


def current() -> CacheListener | None:
    """This process's; None where versions are not raised by this app, or the database has no notifications."""
    global _current
    if _current is None:
        if not conf.RAISES_IN_FLAGSMITH or connections[DEFAULT_DB_ALIAS].vendor != "postgresql":
            return None
        with _lock:
            if _current is None:
                _current = CacheListener()
    return _current


def forget() -> None:
    """Let the process start another one. Threads do not survive a fork."""
    global _lock, _current
    _lock, _current = threading.Lock(), None


os.register_at_fork(after_in_child=forget)
