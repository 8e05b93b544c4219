"""Conditions of the operator REGEX, in bounded time and memory.

A pattern is stored by one tenant, the text to match it with is sent by anybody who has a public key, and all tenants
share the server. Python's ``re``, which the flag engine uses, needs seconds for ``(a+)+$`` and 26 letters, and twice
as long for each letter more; meanwhile no other thread runs. The ``regex`` library finds the same matches, can be
interrupted after a time, and lets other threads run. It writes fixed repetitions out, so nested ones have a limit of
their own.

The time is a budget for all patterns that are matched within ``limited``. A match that is not finished by then is
neither found nor not found: it raises ``TimeSpent``, so that nobody gets the flags of another segment.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import lru_cache
from re import _constants, _parser  # type: ignore[attr-defined]
from typing import Any

import regex
from flag_engine.segments import constants
from flag_engine.segments.evaluator import MATCHERS_BY_OPERATOR

# Of a match outside of any ``limited``.
SECONDS = 0.25

# Places in a pattern whose fixed repetitions are written out; 10,000 take 4 ms and 2 MB, 100,000,000 take all there is.
PLACES = 10_000

REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)


class TimeSpent(BaseException):
    """The patterns have used all their time.

    Not an ``Exception``: code that skips what cannot be evaluated must not skip this.
    """


class UnboundedPattern(ValueError):
    """The pattern's repetitions come to too much."""


class Budget:
    """Seconds that are left for patterns.

    They are those of the thread on a processor: while other threads or processes run, no pattern is at fault.
    """

    def __init__(self, seconds: float) -> None:
        self.left = seconds


_budget: ContextVar[Budget | None] = ContextVar("budget", default=None)


@contextmanager
def limited(budget: Budget | float) -> Iterator[None]:
    """All patterns that are matched within have these seconds together. Then ``TimeSpent`` is raised."""
    token = _budget.set(budget if isinstance(budget, Budget) else Budget(budget))
    try:
        yield
    finally:
        _budget.reset(token)


def matches(pattern: str | None, value: Any) -> bool:
    """Whether the text of a trait's value begins with a match. Raises ``re.error`` for what is no pattern."""
    budget = _budget.get() or Budget(SECONDS)
    timeout = budget.left
    while budget.left > 0:
        began = time.thread_time()
        try:
            return _compiled(str(pattern)).match(str(value), timeout=timeout, concurrent=True) is not None
        except TimeoutError:
            # The library counts the time of all threads of the process. If others have had it, this one tries again.
            timeout *= 2
        finally:
            budget.left -= time.thread_time() - began
    raise TimeSpent


def install() -> None:
    """Have the flag engine match patterns in this way. It offers no other place to say so than its own table."""
    MATCHERS_BY_OPERATOR[constants.REGEX] = matches


@lru_cache(maxsize=1024)
def _compiled(pattern: str) -> "regex.Pattern[str]":
    # SDKs that evaluate locally have to be able to compile it as well.
    re.compile(pattern)
    if _places(_parser.parse(pattern)) > PLACES:
        raise UnboundedPattern(f"it has more than {PLACES} places when its repetitions are written out")
    return regex.compile(pattern)


def _places(parsed: Any) -> int:
    """How long the pattern is with its fixed repetitions written out."""
    if isinstance(parsed, tuple) and parsed and parsed[0] in REPEATS:
        fewest, _, repeated = parsed[1]
        return max(1, int(fewest)) * _places(repeated)
    if isinstance(parsed, (tuple, list, _parser.SubPattern)):
        return 1 + sum(_places(part) for part in parsed)
    return 0
