"""Releases the current thread's database connections."""

from django.db import connections


def release_connections() -> None:
    """Return this thread's connections to their pools, except for those in a transaction.

    A thread that waits for another thread or process would otherwise keep a connection from all requests of all
    tenants. Django connects again with the next query.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
