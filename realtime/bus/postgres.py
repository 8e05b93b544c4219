"""LISTEN/NOTIFY: an event is part of the transaction that it tells of, and is delivered exactly if that commits."""

import math
import select
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
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

logger = structlog.get_logger(__name__)

# PostgreSQL's name for the channel of all environments. One for all: a listener costs the server nothing until
# something is said, and a LISTEN for each environment that is streamed would be a transaction each.
CHANNEL = "realtime"

NOTIFY = "SELECT pg_notify(%s, payload) FROM unnest(%s::text[]) AS payload"

# What is asked about once a second, also to see whether somebody is there. Notifications wait until every listener of
# the cluster has read them. When their queue is full, each transaction that notifies fails at its commit, and with it
# the change.
PING = b"SELECT pg_notification_queue_usage()"
FULL = 0.5

# How the connection notices that the other side is gone where our own question does not come to it, as while it
# connects (in seconds, but the last one in milliseconds), and the name by which pg_stat_activity has it.
CONNECTION: dict[str, Any] = {
    "application_name": "realtime-bus",
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 5_000,
}

# Of what Django connects with: what is for psycopg's cursors.
FOR_CURSORS = ("cursor_factory", "context", "prepare_threshold")


class PostgresBus(SupervisedBus):
    """For every installation on PostgreSQL; no other service is needed."""

    name = "postgres"
    _full = False

    def write(self, states: Sequence[EnvironmentState], using: str) -> None:
        # A key that nobody can ask for could be too long for a notification, and fail the change.
        states = [state for state in states if hosts.is_valid_key(state.key)]
        connection = connections[using]
        if not states or self._full or connection.vendor != "postgresql":
            return
        with connection.cursor() as cursor:
            cursor.execute(NOTIFY, [CHANNEL, [eventstream.encode(state) for state in states]])

    def listen(self, ended: threading.Event) -> None:
        self._full = False
        with _connection() as pgconn, Line(pgconn) as line, self.interruptible(line.interrupt):
            line.ask(f"LISTEN {CHANNEL}".encode())
            listening = False
            while not ended.is_set():
                self.beat()
                answer = line.wait()
                for payload in line.heard():
                    self.receive(payload)
                if answer is not None and not listening:
                    listening = True
                    self.connected()
                elif answer is not None:
                    self._watch_queue(float(answer))

    def health(self) -> Health:
        health = super().health()
        if self._full:
            return replace(health, connected=False, last_error="the queue of notifications fills up")
        return health

    def _watch_queue(self, usage: float) -> None:
        """Say no more before a full queue fails changes; the reconcile has to do until it is read."""
        if self._full != (usage > FULL):
            self._full = usage > FULL
            logger.warning("bus_queue", bus=self.name, usage=usage, notifies=not self._full)


class Line:
    """One connection, on which one side notifies at any time, and the other asks now and then whether it is there.

    psycopg's own calls wait for an answer without an end. This waits no longer than ``ANSWER_SECONDS``, and raises.
    """

    def __init__(self, pgconn: "PGconn") -> None:
        self._pgconn = pgconn
        self._interrupting, self._interrupted = socket.socketpair()
        # Not ``select.select``, which knows no file above the 1,023rd: each stream is one.
        self._either = select.poll()
        for file in (pgconn.socket, self._interrupted.fileno()):
            self._either.register(file, select.POLLIN)
        self._asked = False
        self._since = time.monotonic()
        """When it was asked, or else when it answered last."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._interrupting.close()
        self._interrupted.close()

    def interrupt(self) -> None:
        """End ``wait`` at once, from any thread."""
        # It may have been closed meanwhile.
        with suppress(OSError):
            self._interrupting.send(b"x")

    def ask(self, question: bytes) -> None:
        self._pgconn.send_query(question)
        self._pgconn.flush()
        self._asked, self._since = True, time.monotonic()

    def wait(self) -> bytes | None:
        """Wait for something to come, about a second at most. An answer is the first value of the last question's
        result; empty where it has none.
        """
        if not self._asked and time.monotonic() >= self._since + SILENCE_SECONDS:
            self.ask(PING)
        left = self._since + (ANSWER_SECONDS if self._asked else SILENCE_SECONDS) - time.monotonic()
        ready = [file for file, _ in self._either.poll(math.ceil(1_000 * min(max(left, 0.0), SILENCE_SECONDS)))]
        if self._interrupted.fileno() in ready:
            return None
        if ready:
            self._pgconn.consume_input()
            return self._answer()
        if left <= 0 and self._asked:
            raise TimeoutError(f"PostgreSQL has not answered for {ANSWER_SECONDS:g} s")
        return None

    def heard(self) -> Iterator[bytes]:
        """The notifications that have come."""
        while (notification := self._pgconn.notifies()) is not None:
            yield notification.extra

    def _answer(self) -> bytes | None:
        answer = b""
        while self._asked and not self._pgconn.is_busy():
            result = self._pgconn.get_result()
            if result is None:
                self._asked, self._since = False, time.monotonic()
                return answer
            if result.error_message:
                raise ConnectionError(result.error_message.decode(errors="replace").strip())
            answer = (result.get_value(0, 0) if result.ntuples else None) or answer
        return None


@contextmanager
def _connection() -> "Iterator[PGconn]":
    """A connection of its own, outside of Django's pool: LISTEN belongs to a session."""
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    if conf.BUS_DATABASE_URL:
        parameters: dict[str, Any] = dict(conninfo_to_dict(conf.BUS_DATABASE_URL))
    else:
        parameters = connections[DEFAULT_DB_ALIAS].get_connection_params()
        parameters = {name: value for name, value in parameters.items() if name not in FOR_CURSORS}
    # Its own context manager would end a transaction, and wait for the answer.
    with closing(psycopg.connect(**{**CONNECTION, **parameters, "autocommit": True})) as connection:
        yield connection.pgconn
