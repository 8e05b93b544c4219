"""Matches patterns of REGEX conditions in bounded time and memory.

All tenants share the server, a pattern is stored by one tenant, and its text is sent by any client with a public key.
Python's ``re``, which the flag engine uses, takes seconds for ``(a+)+$`` and 26 letters, doubles with each additional
letter, and blocks all threads meanwhile. The ``regex`` library finds the same matches, supports a timeout and releases
the GIL. It expands fixed repetitions when it compiles a pattern, so the expanded length is limited.

All patterns that are matched inside ``time_limit`` share one budget. A match that exceeds it raises
``TimeLimitExceeded`` instead of returning a result: a wrong result would give an identity another segment's flags.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from typing import Any

import regex

from realtime.compat.re import expanded_length
from realtime.evaluation.processor_time import thread_time

# Budget of one match outside of ``time_limit``.
DEFAULT_SECONDS = 0.25

# Length of a pattern with its fixed repetitions expanded. 10,000 take 4 ms and 2 MB; 100,000,000 exhaust the memory.
MAX_EXPANDED_LENGTH = 10_000


class TimeLimitExceeded(BaseException):
    """The time budget of the patterns is exhausted.

    Not an ``Exception``, so that code which ignores failed evaluations does not catch it.
    """


class PatternTooLong(ValueError):
    """The pattern with its fixed repetitions expanded exceeds ``MAX_EXPANDED_LENGTH``."""


class TimeBudget:
    """The remaining seconds for matching patterns, measured as CPU time of the thread."""

    def __init__(self, seconds: float) -> None:
        self.remaining = seconds


_budget: ContextVar[TimeBudget | None] = ContextVar("budget", default=None)


@contextmanager
def time_limit(budget: TimeBudget | float) -> Iterator[None]:
    """Limit the total time of the patterns that are matched inside. Raises ``TimeLimitExceeded``."""
    token = _budget.set(budget if isinstance(budget, TimeBudget) else TimeBudget(budget))
    try:
        yield
    finally:
        _budget.reset(token)


def matches(pattern: str | None, value: Any) -> bool:
    """Whether the value as text begins with a match. Raises ``re.error`` for an invalid pattern."""
    budget = _budget.get() or TimeBudget(DEFAULT_SECONDS)
    timeout = budget.remaining
    while budget.remaining > 0:
        started = thread_time()
        try:
            return _compiled(str(pattern)).match(str(value), timeout=timeout, concurrent=True) is not None
        except TimeoutError:
            # The library measures the time of all threads. If this thread's budget is not exhausted, it tries again.
            timeout *= 2
        finally:
            budget.remaining -= thread_time() - started
    raise TimeLimitExceeded


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> "regex.Pattern[str]":
    # It must compile with ``re`` too: the Python SDK uses it in local evaluation.
    re.compile(pattern)
    if expanded_length(pattern) > MAX_EXPANDED_LENGTH:
        raise PatternTooLong(f"it is longer than {MAX_EXPANDED_LENGTH} with its repetitions expanded")
    return regex.compile(pattern)
