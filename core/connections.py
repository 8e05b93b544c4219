"""The current thread's database connections: releasing them, and retrying a read on new ones."""

import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connections

T = TypeVar("T")

# A read on a closed connection fails at once. One that fails after more than this time was a timeout: not retried.
MAX_RETRIED_SECONDS = 1.0


def release_connections() -> None:
    """Return this thread's connections to their pools, except for those in a transaction.

    A thread that waits for another thread or process would otherwise keep a connection from all requests of all
    tenants. Django connects again with the next query.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()


def retried(read: Callable[[], T]) -> T:
    """The result of a read, which is repeated once on new connections if the database had closed this thread's.

    Not for reads in a transaction.
    """
    began = time.monotonic()
    try:
        return read()
    except (OperationalError, InterfaceError):
        if time.monotonic() - began > MAX_RETRIED_SECONDS:
            raise
    connections.close_all()
    return read()
