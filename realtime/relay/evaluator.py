"""Evaluates requests with held documents: in the event loop, or in a thread if the environment is expensive."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from realtime.answers import Answer
from realtime.batching import Batcher, DatabaseThread
from realtime.evaluation import patterns
from realtime.relay import responding
from realtime.relay.document import HeldDocument
from realtime.relay.responding import Response, Result
from realtime.types import EnvironmentKey

logger = structlog.get_logger(__name__)

# Processor time of regular expressions: in the event loop, and in the thread.
PATTERN_SECONDS = 0.002
EVALUATION_SECONDS = 0.5


@dataclass(slots=True, eq=False)
class Evaluation:
    """The evaluation of one request."""

    held: HeldDocument
    run: Callable[[], Answer]
    took_too_long: Callable[[], Answer] = responding.took_too_long
    """The answer if the regular expressions of the environment's segments have used all their time."""


class Evaluator:
    """Evaluates in the event loop, or in a thread in which expensive environments take turns.

    So these delay only each other.
    """

    def __init__(self) -> None:
        self._batcher: Batcher[Evaluation, Answer] = Batcher(
            DatabaseThread("relay-evaluator"),
            _evaluate_in_thread,
            failure_event="relay_evaluation_failed",
            min_interval=0,
            max_batch=1,
            group=_environment_of,
        )

    def evaluate(self, evaluation: Evaluation, cors: bytes) -> Result:
        """The encoded answer to a request."""
        held = evaluation.held
        if not held.is_expensive:
            try:
                return responding.encode(_evaluate_here(evaluation), cors)
            except patterns.TimeLimitExceeded:
                held.is_expensive = True
                logger.warning("environment_is_expensive", environment=held.key, reason="slow regular expressions")
        return asyncio.create_task(self._evaluate_later(evaluation, cors))

    async def _evaluate_later(self, evaluation: Evaluation, cors: bytes) -> Response:
        future = self._batcher.submit(evaluation)
        # A cancelled future would fail in the batcher.
        await asyncio.wait([future])
        answer = future.result()
        assert answer is not None
        return responding.encode(answer, cors)


def _evaluate_here(evaluation: Evaluation) -> Answer:
    """Evaluate in the event loop. Raises patterns.TimeLimitExceeded."""
    if not evaluation.held.has_patterns:
        return evaluation.run()
    with patterns.time_limit(PATTERN_SECONDS):
        return evaluation.run()


def _environment_of(evaluation: Evaluation) -> EnvironmentKey:
    return evaluation.held.key


def _evaluate_in_thread(evaluations: list[Evaluation]) -> dict[Evaluation, Answer]:
    results: dict[Evaluation, Answer] = {}
    for evaluation in evaluations:
        try:
            with patterns.time_limit(EVALUATION_SECONDS):
                results[evaluation] = evaluation.run()
        except patterns.TimeLimitExceeded:
            results[evaluation] = evaluation.took_too_long()
    return results
