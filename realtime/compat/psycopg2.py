"""psycopg2 (tested: 2.9.10): a connection with the part of psycopg 3's ``PGconn`` that the bus uses.

Django uses psycopg 3 wherever it is installed, so a project that pins psycopg2 must not get it for the bus alone.
Used beside its public API: ``poll`` of a connection without a query, which reads notifications from libpq's buffer.
"""

import select
import time
from collections.abc import Mapping
from typing import Any

import psycopg2
from psycopg2.extensions import POLL_OK, POLL_READ, parse_dsn

CONNECT_SECONDS = 5.0


class Notification:
    """A notification's payload, by psycopg 3's name."""

    def __init__(self, payload: str) -> None:
        self.extra = payload.encode()


class Result:
    """The first row of a query's result."""

    error_message = b""

    def __init__(self, row: tuple[Any, ...] | None) -> None:
        self._row = row
        self.ntuples = 0 if row is None else 1

    def get_value(self, row: int, column: int) -> bytes:
        return str(self._row[column]).encode() if self._row is not None else b""


class Psycopg2Connection:
    """An asynchronous connection of psycopg2: no call waits for the server. Errors of the server are raised."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self._cursor: Any = None
        self._state = POLL_OK

    @property
    def socket(self) -> int:
        return int(self._connection.fileno())

    def send_query(self, query: bytes) -> None:
        self._cursor = self._connection.cursor()
        self._cursor.execute(query.decode())
        self._state = POLL_READ

    def flush(self) -> None:
        """Queries are short enough for the socket's buffer."""

    def consume_input(self) -> None:
        self._state = self._connection.poll()

    def is_busy(self) -> bool:
        return bool(self._state != POLL_OK)

    def get_result(self) -> Result | None:
        cursor, self._cursor = self._cursor, None
        if cursor is None:
            return None
        return Result(cursor.fetchone() if cursor.description is not None else None)

    def close(self) -> None:
        self._connection.close()

    def notifies(self) -> Notification | None:
        notifications = self._connection.notifies
        if not notifications and self._state == POLL_OK:
            # What has come together with an answer stays in libpq's buffer until the socket has more, or until this.
            self._state = self._connection.poll()
        return Notification(notifications.pop(0).payload) if notifications else None


def connect(parameters: Mapping[str, Any]) -> Psycopg2Connection:
    """A connection in autocommit mode, as asynchronous ones are. Raises TimeoutError and psycopg2's exceptions."""
    connection = psycopg2.connect(**parameters, async_=True)
    try:
        _wait(connection)
    except BaseException:
        connection.close()
        raise
    return Psycopg2Connection(connection)


def parameters_of(url: str) -> dict[str, Any]:
    return dict(parse_dsn(url))


def _wait(connection: Any) -> None:
    """Wait until it is connected: libpq's own timeout does not hold for asynchronous connections."""
    deadline = time.monotonic() + CONNECT_SECONDS
    while (state := connection.poll()) != POLL_OK:
        ready = select.poll()
        ready.register(connection.fileno(), select.POLLIN if state == POLL_READ else select.POLLOUT)
        left = deadline - time.monotonic()
        if left <= 0 or not ready.poll(1_000 * left):
            raise TimeoutError(f"PostgreSQL has not taken a connection for {CONNECT_SECONDS:g} s")
