"""Evaluates requests with held documents: in the event loop, or in a thread if the environment is expensive."""

import asyncio
from dataclasses import dataclass
from functools import partial

import structlog

from realtime.answers import Answer
from realtime.batching import Batcher, DatabaseThread
from realtime.evaluation import patterns
from realtime.http.shortcuts import DeferredResponse
from realtime.reads.answering import answer
from realtime.reads.read import Read
from realtime.relay import responding
from realtime.relay.document import HeldDocument
from realtime.types import EnvironmentKey

logger = structlog.get_logger(__name__)

# Processor time of regular expressions: in the event loop, and in the thread.
PATTERN_SECONDS = 0.002
EVALUATION_SECONDS = 0.5


@dataclass(slots=True, eq=False)
class Evaluation:
    """A read that waits for the thread."""

    read: Read
    held: HeldDocument


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

    def respond(self, read: Read, held: HeldDocument, cors: bytes, deferred: DeferredResponse) -> None:
        """Respond to a read, now or later."""
        if not held.is_expensive:
            try:
                if held.has_patterns:
                    with patterns.time_limit(PATTERN_SECONDS):
                        evaluated = answer(read, held)
                else:
                    evaluated = answer(read, held)
            except patterns.TimeLimitExceeded:
                held.is_expensive = True
                logger.warning("environment_is_expensive", environment=held.key, reason="slow regular expressions")
            else:
                deferred.reply(*responding.encode(evaluated, cors))
                return
        self._batcher.submit(Evaluation(read, held)).add_done_callback(partial(_reply, deferred, cors))


def _reply(deferred: DeferredResponse, cors: bytes, future: "asyncio.Future[Answer]") -> None:
    try:
        response = responding.encode(future.result(), cors)
    except (Exception, asyncio.CancelledError):
        response = responding.failed()
    deferred.reply(*response)


def _environment_of(evaluation: Evaluation) -> EnvironmentKey:
    return evaluation.held.key


def _evaluate_in_thread(evaluations: list[Evaluation]) -> dict[Evaluation, Answer]:
    results: dict[Evaluation, Answer] = {}
    for evaluation in evaluations:
        try:
            with patterns.time_limit(EVALUATION_SECONDS):
                results[evaluation] = answer(evaluation.read, evaluation.held)
        except patterns.TimeLimitExceeded:
            results[evaluation] = responding.took_too_long(evaluation.read)
    return results
