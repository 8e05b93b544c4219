"""Isolation of expensive environments: the evaluation process evaluates them, the server process all others.

An environment is expensive if its document is large, if a condition has a JSONPath query, or if an evaluation took long
(regular expressions of segments, very many conditions). Python runs one thread at a time, so a long evaluation for one
tenant would delay the requests of all others. The server process detects that an environment is expensive, remembers
it, and sends its evaluations to the evaluation process (``evaluation_process.py``). The results are the same, but a
call can fail there:

* ``evaluation_process.Busy`` (503): it has waited ``EVALUATION_WAIT_SECONDS`` for its turn, or its organisation has
  ``MAX_QUEUED_CALLS`` queued calls.
* ``TookTooLong`` (422): the evaluation has used ``EVALUATION_SECONDS`` of processor time.
* ``evaluation_process.ProcessLost`` (503): the process has ended during the call.
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
from environment_documents import worker
from environment_documents.cache import CompiledDocument, environment_cache
from environment_documents.document import TooExpensive, Version
from environment_documents.evaluation_process import evaluation_process
from realtime.evaluation import patterns
from realtime.evaluation.processor_time import thread_time

logger = structlog.get_logger(__name__)

T = TypeVar("T")

Work = Callable[[CompiledDocument], T]
"""A computation on an environment. Picklable: a module's function, or a ``partial`` of one."""

# Processor time of a thread, without garbage collections. Work that takes longer in the server process marks its
# environment as expensive. One identity's evaluation takes 2 ms with 400 features and 100 segments. Encoding and
# compressing flags or a document takes 30 ms.
CHEAP_IDENTITY_SECONDS = 0.02
CHEAP_SECONDS = 0.1

# The part of it that regular expressions may take. Usual ones take microseconds.
CHEAP_PATTERN_SECONDS = 0.005

# To try the regular expressions of a new document on short texts, as when they are stored.
TRIAL_SECONDS = 0.1

# An environment whose evaluation took long is expensive for this time.
SLOW_ENVIRONMENT_SECONDS = 60.0

MAX_EXPENSIVE_ENVIRONMENTS = 10_000


class EnvironmentIsExpensive(Exception):
    """The environment has to be evaluated in the evaluation process."""


class TookTooLong(APIException):
    """The evaluation has used all its time."""

    status_code = 422
    default_detail = "The rules of this environment's segments take too long to evaluate for these traits."


class WorkResult(NamedTuple, Generic[T]):
    version: Version
    """The document's version: the requested one, or a newer one."""

    is_expensive: bool
    value: T


class ExpensiveEnvironments:
    """The environments that are known to be expensive."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._until: dict[int, float] = {}
        """Monotonic time by environment's primary key. Infinite for a large document or a JSONPath query."""

    def __contains__(self, environment_id: int) -> bool:
        return time.monotonic() < self._until.get(environment_id, 0.0)

    def add(self, environment_id: int, reason: str, until: float) -> None:
        with self._lock:
            previous = self._until.pop(environment_id, None)
            if previous is None:
                logger.info("environment_is_expensive", environment=environment_id, reason=reason)
                if len(self._until) >= MAX_EXPENSIVE_ENVIRONMENTS:
                    del self._until[next(iter(self._until))]
            self._until[environment_id] = max(until, previous or 0.0)

    def document_is_cheap(self, environment_id: int) -> None:
        """Remove an environment that was added for its document."""
        with self._lock:
            if self._until.get(environment_id) == inf:
                del self._until[environment_id]


_expensive_environments = ExpensiveEnvironments()


def run(
    version: Version, organisation_id: int, work: Work[T], cheap_seconds: float = CHEAP_IDENTITY_SECONDS
) -> WorkResult[T]:
    """The result of the work, in this process or in the evaluation process. Blocks: only for threads."""
    if connections[DEFAULT_DB_ALIAS].in_atomic_block:
        # Other processes do not see this transaction's changes.
        return _run_without_fallback(version, work)
    try:
        return run_in_server_process(version, work, cheap_seconds)
    except EnvironmentIsExpensive:
        result = submit_to_evaluation_process(version, organisation_id, object(), work)
    release_connections()
    return result.result()


def run_in_server_process(version: Version, work: Work[T], cheap_seconds: float) -> WorkResult[T]:
    """Do the work in this thread. If it takes longer than ``cheap_seconds``, the environment is expensive from then on.

    Raises ``EnvironmentIsExpensive``.
    """
    environment_id = version.environment_id
    if environment_id in _expensive_environments:
        raise EnvironmentIsExpensive
    try:
        compiled = environment_cache.find(version) or _compile_bounded(version)
        began = thread_time()
        with patterns.time_limit(CHEAP_PATTERN_SECONDS):
            value = work(compiled)
    except TooExpensive:
        _expensive_environments.add(environment_id, "a large document, or a JSONPath query", inf)
        raise EnvironmentIsExpensive from None
    except patterns.TimeLimitExceeded:
        until = time.monotonic() + SLOW_ENVIRONMENT_SECONDS
        _expensive_environments.add(environment_id, "regular expressions", until)
        raise EnvironmentIsExpensive from None
    if thread_time() - began > cheap_seconds:
        until = time.monotonic() + SLOW_ENVIRONMENT_SECONDS
        _expensive_environments.add(environment_id, "an evaluation took long", until)
    return WorkResult(compiled.version, False, value)


def _compile_bounded(version: Version) -> CompiledDocument:
    with patterns.time_limit(TRIAL_SECONDS):
        compiled = environment_cache.get(version, bounded=True)
        _ = compiled.environment.evaluator
        return compiled


def submit_to_evaluation_process(
    version: Version, organisation_id: int, key: Hashable, work: Work[T]
) -> "Future[WorkResult[T]]":
    """The future result of the work in the evaluation process. Concurrent submissions with one key share it."""
    call = partial(_run_without_fallback, version, work)
    result: Future[WorkResult[T]] = evaluation_process().submit(organisation_id, key, call)
    result.add_done_callback(_remove_if_cheap)
    return result


def _remove_if_cheap(result: "Future[WorkResult[Any]]") -> None:
    if result.exception() is None and not result.result().is_expensive:
        _expensive_environments.document_is_cheap(result.result().version.environment_id)


def _run_without_fallback(version: Version, work: Work[T]) -> WorkResult[T]:
    """Do the work in this process even if it is expensive: in the evaluation process, or inside a transaction."""
    try:
        with patterns.time_limit(worker.CALL_SECONDS):
            compiled = environment_cache.get(version)
            _ = compiled.environment.evaluator
        with patterns.time_limit(settings.EVALUATION_SECONDS):
            value = work(compiled)
    except patterns.TimeLimitExceeded:
        _log_took_too_long(version)
        raise TookTooLong from None
    return WorkResult(compiled.version, compiled.document.is_expensive, value)


@lru_cache(maxsize=1_000)
def _log_took_too_long(version: Version) -> None:
    """Log a version of an environment once."""
    logger.warning("evaluation_took_too_long", environment=version.environment_id, seconds=settings.EVALUATION_SECONDS)
