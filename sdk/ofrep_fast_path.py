"""Fast path of OFREP: answers plain evaluations ahead of Django, with batched database queries, as ``read_path`` does.

It answers with the same bytes as the views. Requests without a valid key, of organisations that are not served, and
those with large bodies are passed to Django.
"""

import asyncio
import time
from functools import lru_cache, partial
from http import HTTPStatus
from typing import NamedTuple
from weakref import WeakKeyDictionary

import structlog

from app_analytics import meter
from app_analytics.models import Resource
from core.connections import retried
from core.errors import Failure
from core.middleware_headers import MiddlewareHeaders, middleware_headers
from environments.models import Environment
from evaluation import isolation
from realtime import ofrep
from realtime.batching import Batcher, DatabaseThread
from realtime.delivery.spread import refetch_rate
from realtime.http.shortcuts import DeferredResponse
from realtime.ofrep import Answer, EvaluationRequest
from realtime.types import Scope
from sdk import read_metrics
from sdk.authentication import SDKClient, clients_by_key
from sdk.ofrep import answer_to, unchanged, work
from sdk.read_path import BATCH_EVALUATION_SECONDS, DATABASE_ERRORS, MAX_BATCH_IDENTITIES

logger = structlog.get_logger(__name__)

# The header that Django REST framework adds to every response.
ALLOW = {"Allow": "POST, OPTIONS"}


class Answered(NamedTuple):
    """The answer of a batch."""

    client: SDKClient
    answer: Answer


class Isolated(NamedTuple):
    """An evaluation for the evaluation process."""

    client: SDKClient


class Postponed(NamedTuple):
    """An evaluation that is moved to the next batch, because this batch has used its time."""


Step = Answered | Isolated | Postponed
"""The result of a batch for one request. A request without one is passed to Django."""


def evaluate(requests: list[EvaluationRequest]) -> dict[EvaluationRequest, Step]:
    """The results of a batch. Runs in the thread."""
    clients = clients_by_key({request.key for request in requests})
    steps: dict[EvaluationRequest, Step] = {}
    deadline = time.monotonic() + BATCH_EVALUATION_SECONDS
    for request in requests:
        client = clients.get(request.key)
        if client is None or client.stop_serving_flags:
            continue
        if (answer := unchanged(request, client)) is not None:
            steps[request] = Answered(client, answer)
        elif steps and time.monotonic() > deadline:
            steps[request] = Postponed()
        elif (step := _evaluate(request, client)) is not None:
            steps[request] = step
    return steps


def _evaluate(request: EvaluationRequest, client: SDKClient) -> Step | None:
    try:
        result = isolation.run_in_server_process(
            client.version, work(request, client), isolation.CHEAP_IDENTITY_SECONDS
        )
    except isolation.EnvironmentIsExpensive:
        return Isolated(client)
    except Environment.DoesNotExist:
        return None
    except DATABASE_ERRORS:
        raise
    except Exception as error:
        # In Django the same failure occurs, and is logged with its traceback.
        logger.warning("read_failed", environment=client.environment_id, error=repr(error))
        return None
    return Answered(client, result.value)


Batches = Batcher[EvaluationRequest, Step]

_batches: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[DatabaseThread, Batches]] = WeakKeyDictionary()


def _current_batches() -> Batches:
    """The batches of the running event loop."""
    loop = asyncio.get_running_loop()
    pair = _batches.get(loop)
    if pair is None:
        thread = DatabaseThread("ofrep-evaluator")
        batches = Batches(
            thread,
            lambda requests: retried(partial(evaluate, requests)),
            max_batch=MAX_BATCH_IDENTITIES,
            group=lambda request: request.key,
        )
        pair = _batches[loop] = thread, batches
    return pair[1]


async def close() -> None:
    """End the thread of the current event loop."""
    thread, _ = _batches.pop(asyncio.get_running_loop(), (None, None))
    if thread is not None:
        await thread.close()


def shortcut(scope: Scope, body: bytes, deferred: DeferredResponse) -> bool:
    """The fast path for ``realtime.http.shortcuts``, on the client's connection."""
    request = ofrep.parse(scope, body)
    if request is None or not request.key:
        return False
    added_headers = middleware_headers({**scope, "path": ofrep.PREFIX})
    if added_headers is None:
        return False
    _Evaluation(request, scope, added_headers, deferred).start()
    return True


class _Evaluation:
    """One request, until its response."""

    def __init__(
        self, request: EvaluationRequest, scope: Scope, added_headers: MiddlewareHeaders, deferred: DeferredResponse
    ) -> None:
        self._request = request
        self._scope = scope
        self._added_headers = added_headers
        self._deferred = deferred

    def start(self) -> None:
        _current_batches().submit(self._request).add_done_callback(self._continue)

    def _continue(self, future: "asyncio.Future[Step | None]") -> None:
        error = future.exception()
        if isinstance(error, DATABASE_ERRORS):
            self._reply(answer_to(error, Failure.of(error), self._request.flag))
            return
        match None if error is not None else future.result():
            case Answered(client, answer):
                self._reply_to(client, answer)
            case Isolated(client):
                call = isolation.submit_to_evaluation_process(
                    client.version, client.organisation_id, (client.version, self._request), work(self._request, client)
                )
                asyncio.wrap_future(call).add_done_callback(partial(self._finish, client))
            case Postponed():
                self.start()
            case None:
                self._deferred.fall_back()

    def _finish(self, client: SDKClient, future: "asyncio.Future[isolation.WorkResult[Answer]]") -> None:
        error = future.exception()
        answer = future.result().value if error is None else answer_to(error, Failure.of(error), self._request.flag)
        self._reply_to(client, answer)

    def _reply_to(self, client: SDKClient, answer: Answer) -> None:
        meter.count(Resource.IDENTITIES, client.environment_id, self._scope["headers"])
        read_metrics.count_reads(Resource.IDENTITIES, read_metrics.refetch_deadline(client.version.updated_at))
        refetch_rate.add()
        self._reply(answer)

    def _reply(self, answer: Answer) -> None:
        head = _head(answer.status, bool(answer.body), self._added_headers)
        self._deferred.reply(head + answer.header_lines(), answer.body)


# Most requests come from few origins to few hosts.
@lru_cache(maxsize=1_024)
def _head(number: int, has_body: bool, added_headers: MiddlewareHeaders) -> bytes:
    """The status line and the headers that do not depend on the answer."""
    status = HTTPStatus(number)
    left_out = (b"content-length",) if has_body else (b"content-length", b"content-type")
    headers = added_headers.merge({**ALLOW, "Content-Type": "application/json"}, b"")
    lines = [b"%b: %b\r\n" % header for header in headers if header[0] not in left_out]
    return b"HTTP/1.1 %d %b\r\n%b" % (status, status.phrase.encode(), b"".join(lines))
