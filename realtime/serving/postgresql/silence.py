"""PostgreSQL connections that give up a server which has stopped answering.

TCP's own timeouts (``databases.VANISHED``) notice a machine that is gone. A server that is only stopped (SIGSTOP, a
disk that hangs) keeps its connections, and the kernel acknowledges what is sent to it: a query would wait for ever. A
query that takes long looks the same. So when a connection has been silent for a while, the server is asked for another.
"""

import time
from collections.abc import Generator
from functools import cache
from threading import Lock
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

# Seconds for a new connection. psycopg accepts no less.
PROBE_SECONDS = 2


class ServerSilent(psycopg.OperationalError):
    """The server answers neither a query nor a new connection."""


class Connection(psycopg.Connection[Any]):
    """Connection on which each wait for the server raises ``ServerSilent`` if the server has stopped answering."""

    silence = 3.0
    """Seconds without a byte from the server until it is probed, and between two probes."""

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        return super().wait(self._watched(gen), *args, **kwargs)

    def _watched(self, gen: Any) -> Generator[Any, Any, Any]:
        """The same generator. psycopg resumes it every tenth of a second while nothing comes."""
        received_at = time.monotonic()
        try:
            waits_for = next(gen)
            while True:
                ready = yield waits_for
                if ready:
                    received_at = time.monotonic()
                elif time.monotonic() - received_at > self.silence:
                    self._check_server()
                    received_at = time.monotonic()
                waits_for = gen.send(ready)
        except StopIteration as stopped:
            return stopped.value

    def _check_server(self) -> None:
        if not _probes.is_answering(self):
            # Whatever else is asked on it fails at once.
            self.close()
            raise ServerSilent("The PostgreSQL server has stopped answering.")


class _Probes:
    """The probes of this process: one at a time, whose result all who wait for one share."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._results: dict[str, tuple[float, bool]] = {}
        """By the connection's parameters: when a probe ended, and whether the server answered."""

    def is_answering(self, connection: Connection) -> bool:
        asked_at = time.monotonic()
        parameters = connection.info.get_parameters()
        server = make_conninfo("", **parameters)
        with self._lock:
            ended_at, answered = self._results.get(server, (0.0, False))
            if ended_at < asked_at:
                answered = self._probe(parameters, connection.info.password)
                self._results[server] = time.monotonic(), answered
            return answered

    def _probe(self, parameters: dict[str, Any], password: str) -> bool:
        reached = {**parameters, "password": password, "connect_timeout": PROBE_SECONDS}
        try:
            # No query: a pooler accepts the log-in, and lets a query wait while all of its connections are in use.
            psycopg.connect(**reached).close()
        except psycopg.errors.ConnectionTimeout:
            return False
        except psycopg.OperationalError:
            # It has answered with a refusal (too many connections, a restart), or TCP says that it is gone.
            return True
        return True


_probes = _Probes()


@cache
def answering_within(seconds: float) -> type[Connection]:
    """The class of connections on which a server that has stopped answering is given up after so many seconds."""
    return type("Connection", (Connection,), {"silence": seconds - PROBE_SECONDS})
