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

from realtime.compat import django_postgresql
from realtime.compat.django_postgresql import Connection, Pool
from realtime.serving.postgresql import silence


class DatabaseWrapper(django_postgresql.DatabaseWrapper):
    """A thread's connection, from its alias's pool if the option "pool" is set."""

    @property
    def connection_class(self) -> type[Connection]:
        seconds = self.settings_dict["OPTIONS"].get("silence_timeout")
        return psycopg.Connection if seconds is None else silence.answering_within(seconds)

    def get_connection_params(self) -> dict[str, Any]:
        parameters: dict[str, Any] = super().get_connection_params()
        parameters.pop("silence_timeout", None)
        return parameters

    def new_pool(self, **options: Any) -> Pool:
        def check(connection: Connection) -> None:
            try:
                Pool.check_connection(connection)
            except Exception:
                pool.drain()
                raise

        checked = check if self.settings_dict["CONN_HEALTH_CHECKS"] else None
        pool = super().new_pool(check=checked, reconnect_failed=_keep_connecting, **options)
        return pool


def _keep_connecting(pool: Pool) -> None:
    """Continue to connect while a client waits."""
    if pool.get_stats()["requests_waiting"]:
        # It also checks idle connections, of which there are none in this case.
        pool.check()
