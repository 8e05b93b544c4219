"""Isolation of expensive environments: they are evaluated in a process of their own, and all others in this one.

An environment is expensive if its document is large, if a condition has a JSONPath query, or if an evaluation of it
took long (segments' regular expressions, very many conditions). The interpreter runs one thread at a time, so one
tenant's evaluation would delay every other tenant's requests. The server process notices that an environment is
expensive, remembers it, and leaves it to the evaluation process (``evaluation_process.py``). The results are the same.
But a call can fail there:

* ``evaluation_process.Busy`` (503): it has waited for its organisation's turn for ``EVALUATION_WAIT_SECONDS``, or
  ``MOST_WAITING`` others of its organisation wait.
* ``TookTooLong`` (422): the evaluation has used ``EVALUATION_SECONDS`` of a processor.
* ``evaluation_process.Lost`` (503): the process has ended during the call.
"""

import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from functools import lru_cache, partial
from math import inf
from threading import Lock
from typing import Any, Generic, NamedTuple, TypeVar

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections
from rest_framework.exceptions import APIException

from core.connections import release_connections
from evaluation import child
from evaluation.cache import Entry, documents
from evaluation.document import TooExpensive, Version
from evaluation.evaluation_process import evaluation_process
from segments import patterns

logger = structlog.get_logger(__name__)

T = TypeVar("T")

Work = Callable[[Entry], T]
"""What is done with an environment. It can be pickled: a module's function, or a ``partial`` of one."""

# Seconds of a thread on a processor that may pass in this process without consequences: for the evaluation for one
# identity (with 400 features and 100 segments it takes 2 ms), and to encode and compress flags or a document (30 ms).
CHEAP_IDENTITY_SECONDS = 0.02
CHEAP_SECONDS = 0.1

# Of these, for regular expressions: people's take microseconds.
CHEAP_PATTERN_SECONDS = 0.005

# To try the regular expressions of a new document on short texts, as when they are stored.
TRIAL_SECONDS = 0.1

# For so long an environment whose evaluation took long is evaluated in the evaluation process.
REMEMBERED_SECONDS = 60.0

MOST_REMEMBERED = 10_000


class Expensive(Exception):
    """The environment is to be evaluated in the evaluation process."""


class TookTooLong(APIException):
    """The evaluation has used all its time."""

    status_code = 422
    default_detail = "The rules of this environment's segments take too long to evaluate for these traits."


class Evaluated(NamedTuple, Generic[T]):
    version: Version
    """Of the document: the one that was asked for, or a newer one."""

    is_expensive: bool
    value: T


class _Expensive:
    """The environments that are known to be expensive."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._until: dict[int, float] = {}
        """By environment's primary key. Large ones are so until the evaluation process finds them small."""

    def __contains__(self, environment_id: int) -> bool:
        return time.monotonic() < self._until.get(environment_id, 0.0)

    def add(self, environment_id: int, reason: str, until: float) -> None:
        with self._lock:
            known = self._until.pop(environment_id, None)
            if known is None:
                logger.info("environment_is_expensive", environment=environment_id, reason=reason)
                if len(self._until) >= MOST_REMEMBERED:
                    del self._until[next(iter(self._until))]
            self._until[environment_id] = max(until, known or 0.0)

    def found_cheap(self, environment_id: int) -> None:
        with self._lock:
            if self._until.get(environment_id) == inf:
                del self._until[environment_id]


_expensive = _Expensive()


def run(version: Version, organisation_id: int, work: Work[T], cheap: float = CHEAP_IDENTITY_SECONDS) -> Evaluated[T]:
    """The work's result, wherever it is done. Blocks until it is there, so it is for Django's threads."""
    if connections[DEFAULT_DB_ALIAS].in_atomic_block:
        # No other process sees what this transaction does.
        return _evaluate(version, work)
    try:
        return here(version, work, cheap)
    except Expensive:
        result = elsewhere(version, organisation_id, object(), work)
    release_connections()
    return result.result()


def here(version: Version, work: Work[T], cheap: float) -> Evaluated[T]:
    """The work's result, by this thread. Raises ``Expensive``. ``cheap``: seconds that it may take without consequences
    for the environment.
    """
    environment_id = version.environment_id
    if environment_id in _expensive:
        raise Expensive
    try:
        entry = documents.find(version) or _prepared(version)
        began = time.thread_time()
        with patterns.time_limit(CHEAP_PATTERN_SECONDS):
            value = work(entry)
    except TooExpensive:
        _expensive.add(environment_id, "a large document, or a JSONPath query", inf)
        raise Expensive from None
    except patterns.TimeLimitExceeded:
        _expensive.add(environment_id, "regular expressions", time.monotonic() + REMEMBERED_SECONDS)
        raise Expensive from None
    if time.thread_time() - began > cheap:
        _expensive.add(environment_id, "an evaluation took long", time.monotonic() + REMEMBERED_SECONDS)
    return Evaluated(entry.version, False, value)


def _prepared(version: Version) -> Entry:
    with patterns.time_limit(TRIAL_SECONDS):
        entry = documents.entry(version, bounded=True)
        _ = entry.evaluator
        return entry


def elsewhere(version: Version, organisation_id: int, key: Hashable, work: Work[T]) -> "Future[Evaluated[T]]":
    """The future result of the work, by the evaluation process. Works of one key share it."""
    evaluated: Future[Evaluated[T]] = evaluation_process.submit(organisation_id, key, partial(_evaluate, version, work))
    evaluated.add_done_callback(_notice_cheap)
    return evaluated


def _notice_cheap(evaluated: "Future[Evaluated[Any]]") -> None:
    if evaluated.exception() is None and not evaluated.result().is_expensive:
        _expensive.found_cheap(evaluated.result().version.environment_id)


def _evaluate(version: Version, work: Work[T]) -> Evaluated[T]:
    """In the evaluation process, or where nothing else is possible."""
    try:
        with patterns.time_limit(child.CALL_SECONDS):
            entry = documents.entry(version)
            _ = entry.evaluator
        with patterns.time_limit(settings.EVALUATION_SECONDS):
            value = work(entry)
    except patterns.TimeLimitExceeded:
        _log_took_too_long(version)
        raise TookTooLong from None
    return Evaluated(entry.version, entry.document.is_expensive, value)


@lru_cache(maxsize=1_000)
def _log_took_too_long(version: Version) -> None:
    """Once for each version of an environment."""
    logger.warning("evaluation_took_too_long", environment=version.environment_id, seconds=settings.EVALUATION_SECONDS)
