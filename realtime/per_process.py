"""Per-process objects: each process makes its own at the first use, also a forked child."""

import os
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerProcess(Generic[T]):
    """Makes an object at the first call, and returns it from then on. A forked child makes another one.

    For objects with threads, locks or connections, which do not survive a fork.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._lock = threading.Lock()
        self._made: T | None = None
        os.register_at_fork(after_in_child=self.forget)

    def __call__(self) -> T:
        if self._made is None:
            with self._lock:
                if self._made is None:
                    self._made = self._make()
        return self._made

    def forget(self) -> None:
        """Let the next call make another object."""
        self._lock, self._made = threading.Lock(), None
