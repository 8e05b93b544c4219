"""Django's PostgreSQL backend, for a database that goes away and comes back.

With the option "silence_timeout" (seconds) its connections give up a server that has stopped answering
(``silence.py``). With the option "pool" it differs in two ways from Django's pool (psycopg_pool 3.3):

1. When a connection is found dead, all idle ones are replaced: a restart or a failover has closed all of them.
   psycopg's pool lets a client try one after the other, with pauses of 1 s after the second, 2 s after the third, and
   so on, until it has waited for ``timeout``.
2. While a client waits, the pool goes on trying to connect. psycopg's pool stops after ``reconnect_timeout``, and tries
   again when the next client comes.
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
    """A thread's connection, from the pool of its alias where the option "pool" asks for one."""

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
        # As Django does it, but with this class.
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
            # Several threads may come here at the same time. A pool costs nothing before it is opened.
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
            # Django sets a connection's mode itself later on.
            kwargs={**self.get_connection_params(), "autocommit": True},
            open=False,
            configure=self._configure_connection,  # type: ignore[attr-defined]
            check=check if self.settings_dict["CONN_HEALTH_CHECKS"] else None,
            reconnect_failed=_try_again,
            **options,
        )
        return pool


def _try_again(pool: Pool) -> None:
    """Go on, if a client still waits."""
    if pool.get_stats()["requests_waiting"]:
        # What else "check" does is for idle connections, of which there are none then.
        pool.check()
