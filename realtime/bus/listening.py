"""Connections to PostgreSQL that listen for notifications (LISTEN), outside of Django's pools."""

import math
import os
import select
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self

from django.db import DEFAULT_DB_ALIAS, connections

from realtime.bus.supervised import ANSWER_SECONDS, SILENCE_SECONDS
from realtime.conf import conf

if TYPE_CHECKING:
    from psycopg.pq.abc import PGconn

    from realtime.compat.psycopg2 import Psycopg2Connection

# Connection parameters. The timeouts detect a vanished server while no ping can, as during the connect
# (``tcp_user_timeout`` is in milliseconds, the others are in seconds).
CONNECTION: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 2,
    "tcp_user_timeout": 5_000,
}

# Those of Django's connection parameters that libpq does not accept or that are only for cursors.
CURSOR_PARAMETERS = ("cursor_factory", "context", "prepare_threshold")


class ListeningConnection:
    """A connection that receives notifications, and sends a ping after some time without an answer.

    psycopg's own calls wait for an answer without a timeout. Those of this class raise after ``ANSWER_SECONDS``.
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
        self._sent_at = -math.inf
        self.confirmed_at = -math.inf
        """The time just before the last answered query was sent. The session existed after it."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self._interrupting.close()
        self._interrupted.close()

    def interrupt(self) -> None:
        """End ``wait`` immediately, now and from now on. May be called in any thread."""
        # The socket may have been closed meanwhile.
        with suppress(OSError):
            self._interrupting.send(b"x")

    def send_query(self, sql: bytes) -> None:
        self._sent_at = time.monotonic()
        self._pgconn.send_query(sql)
        self._pgconn.flush()
        self._awaits_answer, self._since = True, time.monotonic()

    def query(self, sql: bytes) -> bytes:
        """Send a query and wait for its answer. Returns the first value of the result, as ``wait``.

        Not for a connection that may be interrupted.
        """
        while self._awaits_answer:
            self.wait()
        self.send_query(sql)
        while (answer := self.wait()) is None:
            pass
        return answer

    def wait(self, ping: bytes = b"SELECT 1", silence: float | None = None, at_most: float = math.inf) -> bytes | None:
        """Wait for notifications or an answer, but at most for ``silence`` seconds (None: ``SILENCE_SECONDS``).

        After so many seconds without an answer the query ``ping`` is sent. Returns the first value of a query's result,
        empty bytes for a result without values, and None if there is no answer. ``at_most``: a shorter time to wait.
        """
        if silence is None:
            silence = SILENCE_SECONDS
        if not self._awaits_answer and time.monotonic() >= self._since + silence:
            self.send_query(ping)
        left = self._since + (ANSWER_SECONDS if self._awaits_answer else silence) - time.monotonic()
        seconds = min(max(left, 0.0), silence, at_most)
        ready = [file for file, _ in self._poll.poll(math.ceil(1_000 * seconds))]
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
                self.confirmed_at = self._sent_at
                return answer
            if result.error_message:
                raise ConnectionError(result.error_message.decode(errors="replace").strip())
            answer = (result.get_value(0, 0) if result.ntuples else None) or answer
        return None


@contextmanager
def connect(name: str) -> Iterator[ListeningConnection]:
    """A new connection to the default database, or to ``REALTIME_BUS_DATABASE_URL``: LISTEN belongs to a session.

    PostgreSQL shows the name as the session's ``application_name``.
    """
    with _connection(name) as pgconn, ListeningConnection(pgconn) as connection:
        yield connection


@contextmanager
def _connection(name: str) -> "Iterator[PGconn | Psycopg2Connection]":
    own = {**CONNECTION, "application_name": name}
    parameters: dict[str, Any] = connections[DEFAULT_DB_ALIAS].get_connection_params()
    parameters = {name: value for name, value in parameters.items() if name not in CURSOR_PARAMETERS}
    if find_spec("psycopg") is None:
        from realtime.compat import psycopg2 as psycopg2_connection

        if conf.BUS_DATABASE_URL:
            parameters = psycopg2_connection.parameters_of(conf.BUS_DATABASE_URL)
        psycopg2_one = psycopg2_connection.connect({**own, **parameters})
        with _closing(psycopg2_one):
            yield psycopg2_one
        return
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    if conf.BUS_DATABASE_URL:
        parameters = dict(conninfo_to_dict(conf.BUS_DATABASE_URL))
    # Not psycopg's own context manager: its exit sends a COMMIT or ROLLBACK and waits for the answer.
    psycopg_one = psycopg.connect(**{**own, **parameters, "autocommit": True})
    with _closing(psycopg_one):
        yield psycopg_one.pgconn


@contextmanager
def _closing(connection: Any) -> Iterator[None]:
    """Close the connection at the end, but not in a forked child: that would end the session of its parent."""
    pid = os.getpid()
    try:
        yield
    finally:
        if os.getpid() == pid:
            connection.close()
