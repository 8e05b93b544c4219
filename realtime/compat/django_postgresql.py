"""Django's PostgreSQL backend (tested: 5.2.19, 5.2.20) with another class of connections, and another pool.

Documented is subclassing a backend, and the option "pool". Used: ``get_new_connection``, whose class of connections is
fixed; ``pool``, which makes a pool without a class, a check or a hook of one's own; ``_connection_pools``, and
``_configure_connection``.
"""

from typing import Any

import psycopg
from django.db.backends.base.base import NO_DB_ALIAS
from django.db.backends.postgresql import base
from psycopg import IsolationLevel
from psycopg_pool import ConnectionPool

Connection = psycopg.Connection[Any]
Pool = ConnectionPool[Connection]


class DatabaseWrapper(base.DatabaseWrapper):
    """A thread's connection, from its alias's pool if the option "pool" is set."""

    _connection_pools: dict[str, Pool]

    @property
    def connection_class(self) -> type[Connection]:
        return psycopg.Connection

    def new_pool(self, **options: Any) -> Pool:
        """A pool that is not open, with these options of psycopg_pool."""
        return Pool(
            connection_class=self.connection_class,
            # As in Django, which sets the mode of a connection when it uses it.
            kwargs={**self.get_connection_params(), "autocommit": True},
            open=False,
            configure=self._configure_connection,  # type: ignore[attr-defined]
            **options,
        )

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
            self._connection_pools.setdefault(self.alias, self.new_pool(**options))
        return self._connection_pools[self.alias]
