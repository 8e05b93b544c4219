"""The threads that hash passwords: few, so that many log-ins at once take neither all memory nor all cores.

A hash takes 19 MiB (``users.hashers``), which the allocator keeps for the thread that had it. So the number of threads
bounds the memory, and a limit of calls in the requests' own threads would not. Calls wait for a thread in their order.
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
    """No thread was free in time. The password has not been looked at."""

    status_code = status.HTTP_503_SERVICE_UNAVAILABLE
    default_detail = "Too many passwords are being checked at the moment. Try again."
    default_code = "too_many_passwords"

    def __init__(self, wait: float) -> None:
        super().__init__()
        self.wait = max(1, ceil(wait))
        """Of ``Retry-After``, in seconds."""


class HashingThreads:
    """A pool of threads with a queue."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._pool = ThreadPoolExecutor(number, thread_name_prefix="password")
        self._lock = Lock()
        self._under_way = 0
        self._refused = 0
        self._logged_at = -LOG_SECONDS

    def run(self, function: Callable[..., T], *arguments: Any, seconds: float) -> T:
        """Call the function in one of the threads. Raises TooManyPasswords when none is free for so many seconds."""
        with self._counted() as under_way:
            future = self._pool.submit(function, *arguments)
            if under_way > self._number:
                release_connections()
            try:
                return future.result(seconds)
            except TimeoutError:
                if not future.cancel():
                    return future.result()
            self._note_refusal()
            raise TooManyPasswords(seconds)

    @contextmanager
    def _counted(self) -> Iterator[int]:
        """Count the call while it is under way; how many there are with it."""
        with self._lock:
            self._under_way += 1
            under_way = self._under_way
        try:
            yield under_way
        finally:
            with self._lock:
                self._under_way -= 1

    def _note_refusal(self) -> None:
        """One line in the log for a minute at most."""
        with self._lock:
            self._refused += 1
            if time.monotonic() < self._logged_at + LOG_SECONDS:
                return
            refused, self._refused, self._logged_at = self._refused, 0, time.monotonic()
        logger.warning("passwords_not_checked", refused=refused, at_once=self._number)


def in_turn(function: Callable[..., T], *arguments: Any) -> T:
    """Call a function that hashes a password. Raises TooManyPasswords after ``PASSWORD_HASH_WAIT_SECONDS``."""
    threads = _threads(settings.MAX_CONCURRENT_PASSWORD_HASHES)
    return threads.run(function, *arguments, seconds=settings.PASSWORD_HASH_WAIT_SECONDS)


@cache
def _threads(number: int) -> HashingThreads:
    """This process's."""
    return HashingThreads(number)
