"""Database connections of a thread: given back while it waits for something else, replaced when they were closed."""

import time
from collections.abc import Callable
from typing import TypeVar

from django.db import InterfaceError, OperationalError, connections

T = TypeVar("T")

# A connection that was closed meanwhile fails at once. One that fails later than this has been waited for.
AT_ONCE_SECONDS = 1.0


def release_connections() -> None:
    """Give this thread's connections back to their pools, except for those in a transaction.

    A thread that waits for another thread or process would otherwise keep a connection from all requests of all
    tenants. Django connects again with the next query.
    """
    for connection in connections.all(initialized_only=True):
        if not connection.in_atomic_block:
            connection.close()


def retried(read: Callable[[], T]) -> T:
    """The result of a read, which is called once more on new connections if the database had closed this thread's.

    Not for what is in a transaction.
    """
    began = time.monotonic()
    try:
        return read()
    except (OperationalError, InterfaceError):
        if time.monotonic() - began > AT_ONCE_SECONDS:
            raise
    connections.close_all()
    return read()
