"""Threads that hash passwords. Their number limits the memory and the cores that concurrent log-ins take.

A hash takes 19 MiB (``users.hashers``), which the allocator retains for the thread. So the number of threads limits the
memory. A limit of concurrent calls in the requests' own threads would not. Waiting calls are queued in their order.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from functools import cache
from math import ceil
from threading import Lock
from typing import Any, TypeVar

import structlog
from django.conf import settings
from rest_framework import status
from rest_framework.exceptions import APIException

from core.connections import release_connections

T = TypeVar("T")

logger = structlog.get_logger(__name__)

LOG_SECONDS = 60.0


class TooManyPasswords(APIException):
    """503: no thread was free in time. The password was not checked."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "Too many passwords are being checked at the moment. Try again."
    default_code = "too_many_passwords"

    def __init__(self, wait: float) -> None:
        super().__init__()
        self.wait = max(1, ceil(wait))
        """The value of ``Retry-After``, in seconds."""


class HashingThreads:
    """A thread pool with a time limit for waiting calls."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._pool = ThreadPoolExecutor(number, thread_name_prefix="password")
        self._lock = Lock()
        self._calls = 0
        self._rejected = 0
        self._logged_at = -LOG_SECONDS

    def run(self, function: Callable[..., T], *arguments: Any, seconds: float) -> T:
        """Call the function in one of the threads. Raises TooManyPasswords if no thread is free within ``seconds``."""
        with self._counted_call() as calls:
            future = self._pool.submit(function, *arguments)
            if calls > self._number:  # This call waits for a thread, so it must not occupy a database connection.
                release_connections()
            try:
                return future.result(seconds)
            except TimeoutError:
                if not future.cancel():
                    return future.result()
            self._log_rejection()
            raise TooManyPasswords(seconds)

    @contextmanager
    def _counted_call(self) -> Iterator[int]:
        """Count the call until it ends. Yields the number of current calls."""
        with self._lock:
            self._calls += 1
            calls = self._calls
        try:
            yield calls
        finally:
            with self._lock:
                self._calls -= 1

    def _log_rejection(self) -> None:
        """Log the number of rejected calls, at most once a minute."""
        with self._lock:
            self._rejected += 1
            if time.monotonic() < self._logged_at + LOG_SECONDS:
                return
            rejected, self._rejected, self._logged_at = self._rejected, 0, time.monotonic()
        logger.warning("passwords_not_checked", rejected=rejected, threads=self._number)


def run_in_thread(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function that hashes a password. Raises TooManyPasswords after ``PASSWORD_HASH_WAIT_SECONDS``."""
    threads = _threads(settings.MAX_CONCURRENT_PASSWORD_HASHES)
    return threads.run(function, *arguments, seconds=settings.PASSWORD_HASH_WAIT_SECONDS)


@cache
def _threads(number: int) -> HashingThreads:
    return HashingThreads(number)
