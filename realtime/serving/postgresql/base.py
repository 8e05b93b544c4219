"""Django's PostgreSQL backend with faster recovery from restarts and failovers of the server.

With the option "silence_timeout" (seconds), connections to a server that has stopped answering fail (``silence.py``).
With the option "pool" it differs from Django's pool (psycopg_pool 3.3) in two points:

1. If a connection is dead, all idle ones are replaced: a restart or a failover has closed all of them. psycopg's pool
   lets a client try one after the other, with pauses of 1 s after the second, 2 s after the third, and so on, up to
   ``timeout``.
2. While a client waits, the pool continues to connect. psycopg's pool stops after ``reconnect_timeout``, and continues
   with the next client.
"""

from typing import Any

import psycopg
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base
from psycopg import IsolationLevel
from psycopg_pool import ConnectionPool

from realtime.serving.postgresql import silence

Connection = psycopg.Connection[Any]
Pool = ConnectionPool[Connection]


class DatabaseWrapper(base.DatabaseWrapper):
    """A thread's connection, from its alias's pool if the option "pool" is set."""

    _connection_pools: dict[str, Pool]

    @property
    def connection_class(self) -> type[Connection]:
        seconds = self.settings_dict["OPTIONS"].get("silence_timeout")
        return psycopg.Connection if seconds is None else silence.answering_within(seconds)

    def get_connection_params(self) -> dict[str, Any]:
        parameters: dict[str, Any] = super().get_connection_params()
        parameters.pop("silence_timeout", None)
        return parameters

    def get_new_connection(self, conn_params: dict[str, Any]) -> Connection:
        if self.pool is not None:
            pooled: Connection = super().get_new_connection(conn_params)
            return pooled
        # As in Django, but with this class.
        level = self.settings_dict["OPTIONS"].get("isolation_level", IsolationLevel.READ_COMMITTED)
        self.isolation_level = IsolationLevel(level)
        connection = self.connection_class.connect(**conn_params)
        connection.isolation_level = self.isolation_level
        return connection

    @property
    def pool(self) -> Pool | None:
        options = self.settings_dict["OPTIONS"].get("pool")
        if self.alias == NO_DB_ALIAS or not options:
            return None
        if self.alias not in self._connection_pools:
            # Concurrent threads may each create a pool, and share the first. One that is not opened costs nothing.
            self._connection_pools.setdefault(self.alias, self._new_pool(options))
        return self._connection_pools[self.alias]

    def _new_pool(self, options: dict[str, Any]) -> Pool:
        def check(connection: Connection) -> None:
            try:
                Pool.check_connection(connection)
            except Exception:
                pool.drain()
                raise

        pool = Pool(
            connection_class=self.connection_class,
            # As in Django, which sets the mode of a connection when it uses it.
            kwargs={**self.get_connection_params(), "autocommit": True},
            open=False,
            configure=self._configure_connection,  # type: ignore[attr-defined]
            check=check if self.settings_dict["CONN_HEALTH_CHECKS"] else None,
            reconnect_failed=_keep_connecting,
            **options,
        )
        return pool


def _keep_connecting(pool: Pool) -> None:
    """Continue to connect while a client waits."""
    if pool.get_stats()["requests_waiting"]:
        # It also checks idle connections, of which there are none in this case.
        pool.check()
