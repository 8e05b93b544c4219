"""Evaluates requests with held documents: in the event loop, or in a thread if the environment is expensive."""

import asyncio
from collections.abc import Callable
from typing import Any, Protocol, TypeVar

import structlog

from realtime.batching import Batcher, DatabaseThread
from realtime.evaluation import patterns
from realtime.relay.document import HeldDocument
from realtime.relay.responding import Response, Result
from realtime.types import EnvironmentKey

logger = structlog.get_logger(__name__)

# Processor time of regular expressions: in the event loop, and in the thread.
PATTERN_SECONDS = 0.002
EVALUATION_SECONDS = 0.5

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


class Evaluation(Protocol[T_co]):
    """The evaluation of one request. Not equal to any other."""

    @property
    def held(self) -> HeldDocument: ...

    def run(self) -> T_co: ...

    def __hash__(self) -> int: ...


class TookTooLong:
    """In place of a result: the regular expressions of the environment's segments have used all their time."""


class Evaluator:
    """Evaluates in the event loop, or in a thread in which expensive environments take turns.

    So these delay only each other.
    """

    def __init__(self) -> None:
        self._batcher: Batcher[Evaluation[Any], Any] = Batcher(
            DatabaseThread("relay-evaluator"),
            _evaluate_in_thread,
            failure_event="relay_evaluation_failed",
            min_interval=0,
            max_batch=1,
            group=_environment_of,
        )

    def evaluate(self, evaluation: Evaluation[T], respond: Callable[[T | TookTooLong], Response]) -> Result:
        """Make a response of the evaluation's result."""
        held = evaluation.held
        if not held.is_expensive:
            try:
                return respond(_evaluate_here(evaluation))
            except patterns.TimeLimitExceeded:
                held.is_expensive = True
                logger.warning("environment_is_expensive", environment=held.key, reason="slow regular expressions")
        return asyncio.create_task(self._respond_later(evaluation, respond))

    async def _respond_later(
        self, evaluation: Evaluation[T], respond: Callable[[T | TookTooLong], Response]
    ) -> Response:
        future = self._batcher.submit(evaluation)
        # A cancelled future would fail in the batcher.
        await asyncio.wait([future])
        result: Any = future.result()
        return respond(result)


def _evaluate_here(evaluation: Evaluation[T]) -> T:
    """Evaluate in the event loop. Raises patterns.TimeLimitExceeded."""
    if not evaluation.held.has_patterns:
        return evaluation.run()
    with patterns.time_limit(PATTERN_SECONDS):
        return evaluation.run()


def _environment_of(evaluation: Evaluation[Any]) -> EnvironmentKey:
    return evaluation.held.key


def _evaluate_in_thread(evaluations: list[Evaluation[Any]]) -> dict[Evaluation[Any], Any]:
    results: dict[Evaluation[Any], Any] = {}
    for evaluation in evaluations:
        try:
            with patterns.time_limit(EVALUATION_SECONDS):
                results[evaluation] = evaluation.run()
        except patterns.TimeLimitExceeded:
            results[evaluation] = TookTooLong()
    return results
