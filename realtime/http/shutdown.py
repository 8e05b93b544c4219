"""The flag that this process is shutting down: set by ``drain.py``, read by everything that sends responses.

A module of its own, because a worker imports its protocol before Django is set up.
"""

import threading

_begun = threading.Event()


def begin() -> None:
    _begun.set()


def in_progress() -> bool:
    """Thread-safe."""
    return _begun.is_set()
