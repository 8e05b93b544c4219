"""The PostgreSQL bus (LISTEN/NOTIFY). PostgreSQL delivers an event when the transaction of the change commits."""

import math
import select
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

import structlog
from django.db import DEFAULT_DB_ALIAS, connections

from realtime import hosts
from realtime.bus import eventstream
from realtime.bus.spec import Health
from realtime.bus.supervised import ANSWER_SECONDS, SILENCE_SECONDS, SupervisedBus
from realtime.conf import conf
from realtime.types import EnvironmentState

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

    from realtime.bus.psycopg2_connection import Psycopg2Connection

logger = structlog.get_logger(__name__)

# One channel for all environments: LISTEN for each streamed environment would cost a transaction each.
CHANNEL = "realtime"

NOTIFY = "SELECT pg_notify(%s, payload) FROM unnest(%s::text[]) AS payload"

# The query sent about once a second, which also checks the connection. PostgreSQL keeps notifications in a queue until
# all listeners of the cluster have read them. If the queue is full, every transaction that notifies fails at its
# commit. So this bus stops notifying above ``MAX_QUEUE_USAGE``.
PING = b"SELECT pg_notification_queue_usage()"
MAX_QUEUE_USAGE = 0.5

# Connection parameters. The timeouts detect a vanished server while no ping can, as during the connect
# (``tcp_user_timeout`` is in milliseconds, the others are in seconds).
CONNECTION: dict[str, Any] = {
    "application_name": "realtime-bus",
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 5_000,
}

# Those of Django's connection parameters that libpq does not accept or that are only for cursors.
CURSOR_PARAMETERS = ("cursor_factory", "context", "prepare_threshold")


class PostgresBus(SupervisedBus):
    """For installations on PostgreSQL. It needs no other service."""

    name = "postgres"
    _queue_is_full = False

    def write(self, states: Sequence[EnvironmentState], using: str) -> None:
        # A key that is too long for a notification would make the change fail. No client can request such a key.
        states = [state for state in states if hosts.is_valid_key(state.key)]
        connection = connections[using]
        if not states or self._queue_is_full or connection.vendor != "postgresql":
            return
        with connection.cursor() as cursor:
            cursor.execute(NOTIFY, [CHANNEL, [eventstream.encode(state) for state in states]])

    def listen(self, ended: threading.Event) -> None:
        self._queue_is_full = False
        with (
            _connection() as pgconn,
            ListeningConnection(pgconn) as connection,
            self.interruptible(connection.interrupt),
        ):
            connection.send_query(f"LISTEN {CHANNEL}".encode())
            listening = False
            while not ended.is_set():
                self.beat()
                answer = connection.wait()
                for payload in connection.notifications():
                    self.receive(payload)
                if answer is not None and not listening:
                    listening = True
                    self.connected()
                elif answer is not None:
                    self._watch_queue(float(answer))

    def health(self) -> Health:
        health = super().health()
        if self._queue_is_full:
            return replace(health, connected=False, last_error="the notification queue is more than half full")
        return health

    def _watch_queue(self, usage: float) -> None:
        """Stop notifying while the queue is nearly full, because a full queue makes changes fail."""
        if self._queue_is_full != (usage > MAX_QUEUE_USAGE):
            self._queue_is_full = usage > MAX_QUEUE_USAGE
            logger.warning("bus_queue", bus=self.name, usage=usage, notifies=not self._queue_is_full)


class ListeningConnection:
    """A connection that receives notifications, and sends a ping after a second without an answer.

    psycopg's own calls wait for an answer without a timeout. ``wait`` raises after ``ANSWER_SECONDS``.
    """

    def __init__(self, pgconn: "PGconn | Psycopg2Connection") -> None:
        self._pgconn = pgconn
        self._interrupting, self._interrupted = socket.socketpair()
        # Not ``select.select``, which rejects file descriptors above 1,023: each stream uses one.
        self._poll = select.poll()
        for file in (pgconn.socket, self._interrupted.fileno()):
            self._poll.register(file, select.POLLIN)
        self._awaits_answer = False
        self._since = time.monotonic()
        """The time of the pending query, or of the last answer if no query is pending."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._interrupting.close()
        self._interrupted.close()

    def interrupt(self) -> None:
        """End ``wait`` immediately. May be called in any thread."""
        # The socket may have been closed meanwhile.
        with suppress(OSError):
            self._interrupting.send(b"x")

    def send_query(self, sql: bytes) -> None:
        self._pgconn.send_query(sql)
        self._pgconn.flush()
        self._awaits_answer, self._since = True, time.monotonic()

    def wait(self) -> bytes | None:
        """Wait for notifications or an answer, about a second at most.

        Returns the first value of the query's result, empty bytes for a result without values, and None if there is no
        answer.
        """
        if not self._awaits_answer and time.monotonic() >= self._since + SILENCE_SECONDS:
            self.send_query(PING)
        left = self._since + (ANSWER_SECONDS if self._awaits_answer else SILENCE_SECONDS) - time.monotonic()
        ready = [file for file, _ in self._poll.poll(math.ceil(1_000 * min(max(left, 0.0), SILENCE_SECONDS)))]
        if self._interrupted.fileno() in ready:
            return None
        if ready:
            self._pgconn.consume_input()
            return self._answer()
        if left <= 0 and self._awaits_answer:
            raise TimeoutError(f"PostgreSQL has not answered for {ANSWER_SECONDS:g} s")
        return None

    def notifications(self) -> Iterator[bytes]:
        """The payloads of the notifications received since the last call."""
        while (notification := self._pgconn.notifies()) is not None:
            yield notification.extra

    def _answer(self) -> bytes | None:
        answer = b""
        while self._awaits_answer and not self._pgconn.is_busy():
            result = self._pgconn.get_result()
            if result is None:
                self._awaits_answer, self._since = False, time.monotonic()
                return answer
            if result.error_message:
                raise ConnectionError(result.error_message.decode(errors="replace").strip())
            answer = (result.get_value(0, 0) if result.ntuples else None) or answer
        return None


@contextmanager
def _connection() -> "Iterator[PGconn | Psycopg2Connection]":
    """A new connection, outside of Django's pool, because LISTEN belongs to a session."""
    parameters: dict[str, Any] = connections[DEFAULT_DB_ALIAS].get_connection_params()
    parameters = {name: value for name, value in parameters.items() if name not in CURSOR_PARAMETERS}
    if find_spec("psycopg") is None:
        from realtime.bus import psycopg2_connection

        if conf.BUS_DATABASE_URL:
            parameters = psycopg2_connection.parameters_of(conf.BUS_DATABASE_URL)
        with psycopg2_connection.connect({**CONNECTION, **parameters}) as connection:
            yield connection
        return
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    if conf.BUS_DATABASE_URL:
        parameters = dict(conninfo_to_dict(conf.BUS_DATABASE_URL))
    # Not psycopg's own context manager: its exit sends a COMMIT or ROLLBACK and waits for the answer.
    with closing(psycopg.connect(**{**CONNECTION, **parameters, "autocommit": True})) as psycopg_connection:
        yield psycopg_connection.pgconn
