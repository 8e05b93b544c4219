"""Django's PostgreSQL backend, with a connection pool that serves clients as soon as the database is back.

Two deviations from the pool that Django makes of the option "pool" (psycopg_pool 3.3):

1. When a connection is found dead, all idle ones are replaced: a restart or a failover has closed all of them.
   psycopg's pool lets a client try one after the other, with pauses of 1 s after the second, 2 s after the third, and
   so on, until it has waited for ``timeout``.
2. While a client waits, the pool goes on trying to connect. psycopg's pool stops after ``reconnect_timeout``, and tries
   again when the next client comes.
"""

from typing import Any

from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base
from psycopg import Connection
from psycopg_pool import ConnectionPool

Pool = ConnectionPool[Connection[Any]]


class DatabaseWrapper(base.DatabaseWrapper):
    """A thread's connection, from the pool of its alias where the option "pool" asks for one."""

    _connection_pools: dict[str, Pool]

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
        def check(connection: Connection[Any]) -> None:
            try:
                Pool.check_connection(connection)
            except Exception:
                pool.drain()
                raise

        pool = Pool(
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
