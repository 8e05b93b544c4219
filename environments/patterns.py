"""Conditions of the operator REGEX, in bounded time and memory.

A pattern is stored by one tenant, the text to match it with is sent by anybody who has a public key, and all tenants
share the process. Python's ``re``, which the flag engine uses, needs seconds for ``(a+)+$`` and 26 letters, and twice
as long for each letter more; meanwhile no other thread runs. The ``regex`` library finds the same matches, gives up
after a time, and lets others run. It writes fixed repetitions out, so nested ones have a limit of their own.

An evaluation may meet fifty thousand conditions, so all its patterns together have a limit as well.
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
import structlog
from flag_engine.segments import constants
from flag_engine.segments.evaluator import MATCHERS_BY_OPERATOR

logger = structlog.get_logger(__name__)

SECONDS = 0.05

# For all patterns of one evaluation. People's patterns take microseconds. It is the thread's own time on a processor:
# while others have it, or the interpreter's lock, nobody's pattern is at fault.
EVALUATION_SECONDS = 0.25

# Places in a pattern whose fixed repetitions are written out; 10,000 take 4 ms and 2 MB, 100,000,000 take all there is.
PLACES = 10_000

REPEATS = (_constants.MAX_REPEAT, _constants.MIN_REPEAT, _constants.POSSESSIVE_REPEAT)


class _Budget:
    """Seconds that are left."""

    def __init__(self) -> None:
        self.left = EVALUATION_SECONDS


_budget: ContextVar[_Budget | None] = ContextVar("budget", default=None)


class UnboundedPattern(ValueError):
    """The pattern's repetitions come to too much."""


def matches(pattern: str | None, value: Any) -> bool:
    """Whether the text of a trait's value begins with a match. Raises re.error for what is no pattern.

    A pattern that takes too long for this text does not match it, nor does one whose turn comes when the evaluation's
    time is spent.
    """
    budget = _budget.get()
    seconds = SECONDS if budget is None else min(SECONDS, budget.left)
    if seconds <= 0:
        return False
    began = time.thread_time()
    try:
        found = _compiled(str(pattern)).match(str(value), timeout=seconds, concurrent=True)
    except TimeoutError:
        logger.warning("pattern_took_too_long", pattern=pattern, seconds=seconds)
        return False
    finally:
        if budget is not None:
            budget.left -= time.thread_time() - began
    return found is not None


@contextmanager
def limited() -> Iterator[None]:
    """All patterns that are matched within share ``EVALUATION_SECONDS``."""
    token = _budget.set(_Budget())
    try:
        yield
    finally:
        _budget.reset(token)


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
