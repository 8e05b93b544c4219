"""Whether this process is shutting down. The drain says so (drain.py), and whoever answers requests asks.

On its own, since a worker imports its protocol before Django is set up.
"""

import threading

_begun = threading.Event()


def begin() -> None:
    _begun.set()


def in_progress() -> bool:
    """To be asked from any thread."""
    return _begun.is_set()
