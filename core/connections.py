"""Database connections of a thread that is about to wait for something else than the database."""

from django.db import connections


def release_connections() -> None:
    """Give this thread's connections back to their pools, except for those in a transaction.

    A thread that waits for another thread or process would otherwise keep a connection from all requests of all
    tenants. Django connects again with the next query.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()
