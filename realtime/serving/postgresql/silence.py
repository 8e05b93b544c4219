"""PostgreSQL connections that detect a server which has stopped answering.

TCP's timeouts (``databases.TCP_TIMEOUTS``) detect a machine that is gone. A server that is only stopped (SIGSTOP, a
disk that hangs) keeps its connections, and its kernel acknowledges data: a query would wait for ever. A slow query
looks the same. So if a connection has been silent for some seconds, the server is probed with a new connection.
"""

import time
from functools import cache
from threading import Lock
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from realtime.compat.psycopg import WatchedConnection

# The timeout of a probe; psycopg's minimum.
PROBE_TIMEOUT_SECONDS = 2


class ServerSilent(psycopg.OperationalError):
    """The server answers neither a query nor a new connection."""


class Connection(WatchedConnection):
    """A connection whose waits raise ``ServerSilent`` if the server has stopped answering."""

    silence = 3.0
    """Seconds without data from the server until it is probed, and between two probes."""

    def receives_nothing(self, seconds: float) -> bool:
        if seconds <= self.silence:
            return False
        self._check_server()
        return True

    def _check_server(self) -> None:
        if not _probes.is_answering(self):
            # All further queries on this connection fail at once.
            self.close()
            raise ServerSilent("The PostgreSQL server has stopped answering.")


class _Probes:
    """The probes of this process: one at a time, whose result is shared by all waiting connections."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._results: dict[str, tuple[float, bool]] = {}
        """By connection parameters: the end of the last probe, and whether the server answered."""

    def is_answering(self, connection: Connection) -> bool:
        requested_at = time.monotonic()
        parameters = connection.info.get_parameters()
        server = make_conninfo("", **parameters)
        with self._lock:
            ended_at, answered = self._results.get(server, (0.0, False))
            if ended_at < requested_at:
                answered = self._probe(parameters, connection.info.password)
                self._results[server] = time.monotonic(), answered
            return answered

    def _probe(self, parameters: dict[str, Any], password: str) -> bool:
        parameters = {**parameters, "password": password, "connect_timeout": PROBE_TIMEOUT_SECONDS}
        try:
            # Without a query: a pooler accepts the log-in, but delays a query while all its connections are in use.
            psycopg.connect(**parameters).close()
        except psycopg.errors.ConnectionTimeout:
            return False
        except psycopg.OperationalError:
            # The server has rejected the connection (too many connections, a restart), or TCP reports that it is gone.
            return True
        return True


_probes = _Probes()


@cache
def answering_within(seconds: float) -> type[Connection]:
    """The class of connections that fail after so many seconds if the server has stopped answering."""
    return type("Connection", (Connection,), {"silence": seconds - PROBE_TIMEOUT_SECONDS})
