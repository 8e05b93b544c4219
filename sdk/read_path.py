"""Read path of the SDK API and OFREP: answers the most frequent reads ahead of Django, with batched database queries.

It answers a plain GET of ``flags/``, ``identities/`` or ``environment-document/`` with a valid key, a POST of
``identities/`` after which nothing has to be stored, and evaluations of OFREP, with the same bytes as the views.
Concurrent requests share one read of the database, which begins after they have arrived, so an answer is never older
than its request. All other requests are passed to Django, also those that it rejects. There are two exceptions: an
unavailable database (503), and an evaluation that took too long (422; OFREP: 400).

A read comes in by the connection (``shortcut``, ``post_shortcut``, ``ofrep_shortcut``), or by ASGI (``read_path``), for
GETs on other servers than ours. Three threads separate fast reads from slow ones. The first finds shared answers, the
second builds those of changed environments, the third evaluates identities. Expensive environments are left to another
process (``environment_documents.isolation``).
"""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple
from urllib.parse import parse_qsl

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest
from rest_framework.exceptions import APIException

from app_analytics import labels, meter
from app_analytics.models import Resource
from core.errors import Failure
from core.middleware_headers import MiddlewareHeaders, middleware_headers
from environment_documents import isolation
from environment_documents.cache import CachedAnswer, RenderedAnswers
from environments.identities.models import Identity
from environments.keys import SERVER_PREFIX
from environments.models import Environment
from realtime import ofrep as protocol
from realtime import runtime
from realtime.answers import Answer, ConditionalHeaders, Headers, http_head
from realtime.batching import Batcher, DatabaseThread
from realtime.delivery.spread import refetch_rate
from realtime.http.asgi_response import ASGIResponse
from realtime.http.shortcuts import Answerer, Deferrable, DeferredResponse
from realtime.reads.read import DOCUMENT, FLAGS, IDENTITIES, OFREP, Read
from realtime.types import Application, Message, Receive, Scope, Send
from sdk import answers, authentication, identify, identity_bodies, ofrep, read_metrics, views
from sdk.answers import VersionedRead
from sdk.authentication import SDKClient
from sdk.identify import RequestIdentity
from sdk.identity_bodies import IdentityBody

logger = structlog.get_logger(__name__)

MAX_IDENTIFIER_LENGTH = Identity._meta.get_field("identifier").max_length or 0

# Identities are evaluated in batches, and all requests of a batch are answered at its end. After this time of
# evaluation, the remaining requests are moved to the next batch.
MAX_BATCH_IDENTITIES = 100
BATCH_EVALUATION_SECONDS = 0.05

# Rendered forms that are kept of one answer. They depend on request headers, so clients could create any number.
MAX_RENDERED_ANSWERS = 32

# The database is unavailable.
DATABASE_ERRORS = (OperationalError, InterfaceError)

# A GET with one of these headers may have a body.
BODY_REQUEST_HEADERS = frozenset((b"content-length", b"transfer-encoding", b"expect"))

# Values of Content-Type that SDKs send.
JSON_TYPES = frozenset(("application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8"))

# Headers that an answer without a body (304) does not have.
BODY_ANSWER_HEADERS = (b"content-length", b"content-type")

NO_CONDITIONS = ConditionalHeaders()


def _failure(error: Exception, failure: Failure, flag: str | None) -> Answer:
    """The answer of Flagsmith's endpoints to a request that has failed."""
    return Answer(failure.status, json.dumps(failure.data).encode(), tuple(failure.headers.items()))


@dataclass(frozen=True, eq=False, slots=True)
class Endpoint:
    """An endpoint of the read path."""

    resource: Resource
    """As which its requests are counted."""

    allow: str
    """The header that Django REST framework adds to every response."""

    failure: Callable[[Exception, Failure, str | None], Answer] = _failure
    """Returns the answer to a failed request. The last argument is the one flag that OFREP has asked for."""


def _endpoint(view: views.SDKView) -> Endpoint:
    view.setup(HttpRequest())
    assert view.resource is not None
    return Endpoint(view.resource, ", ".join(view.allowed_methods))


ENDPOINTS = {
    FLAGS: _endpoint(views.FlagsView()),
    IDENTITIES: _endpoint(views.IdentitiesView()),
    DOCUMENT: _endpoint(views.DocumentView()),
    OFREP: Endpoint(Resource.IDENTITIES, "POST, OPTIONS", ofrep.answer_to),
}

PATHS = {f"/api/v1/{name}/": name for name in (FLAGS, IDENTITIES, DOCUMENT)}


class Request(NamedTuple):
    """The parts of a request that its answer depends on: a read, before its key and its identity are looked up."""

    endpoint: str
    key: str
    identifier: str = ""
    posted: IdentityBody | None = None
    """Of a POST of ``identities/``."""

    flag: str | None = None
    body: bytes = b""
    if_none_match: str = ""
    """Of OFREP, as in ``Read``."""

    @property
    def is_shared(self) -> bool:
        """All clients of the environment with the same kind of key get the same answer."""
        return self.endpoint == FLAGS or self.endpoint == DOCUMENT

    def read(self, client: SDKClient, identity: RequestIdentity | None = None) -> VersionedRead:
        """The read of this client."""
        _, _, _, _, flag, body, if_none_match = self
        streaming = client.streaming_enabled and self.endpoint == OFREP
        read = Read(self.endpoint, client.server_side, flag, identity, body, if_none_match, streaming)
        return VersionedRead(client.version, client.organisation_id, read)


class Form(NamedTuple):
    """The parts of a request that the form of its answer depends on."""

    added_headers: MiddlewareHeaders
    accept_encoding: str
    conditions: ConditionalHeaders

    @classmethod
    def of(cls, scope: Message, request: Request, added_headers: MiddlewareHeaders) -> "Form":
        if not request.is_shared:
            # Its answer is uniform: small, and not conditional. (OFREP's condition is a part of the request.)
            return cls(added_headers, "", NO_CONDITIONS)
        conditions = ConditionalHeaders(_header(scope, b"if-none-match"), _header(scope, b"if-modified-since"))
        return cls(added_headers, _header(scope, b"accept-encoding"), conditions)


class ReadyAnswer:
    """An answer that can be sent, with its rendered forms, which all requests of a batch share."""

    def __init__(
        self,
        endpoint: str,
        environment_id: int | None,
        answer: Answer,
        rendered: RenderedAnswers | None = None,
    ) -> None:
        self.endpoint = ENDPOINTS[endpoint]
        self.environment_id = environment_id
        """None if the database is unavailable: the key's environment is unknown."""
        self.answer = answer
        self._refetch_deadline = (
            read_metrics.refetch_deadline(answer.updated_at) if answer.updated_at is not None else None
        )
        self._rendered: RenderedAnswers = {} if rendered is None else rendered

    @classmethod
    def from_cache(cls, endpoint: str, environment_id: int, cached: CachedAnswer) -> "ReadyAnswer":
        """Reuse the rendered forms of earlier reads, unless they depend on the time (``Validators``)."""
        rendered = cached.rendered if cached.answer.validators is None else None
        return cls(endpoint, environment_id, cached.answer, rendered)

    def count(self, labels: labels.Labels, number: int) -> None:
        """Count the requests that get this answer. Only for the event loop."""
        if self.environment_id is not None:
            meter.count_equal(self.endpoint.resource, self.environment_id, labels, number)
        if self._refetch_deadline is not None:
            read_metrics.count_reads(self.endpoint.resource, self._refetch_deadline, number)
        refetch_rate.add(number)

    def render(self, form: Form) -> tuple[bytes, bytes]:
        """Head and body of the HTTP/1.1 response."""
        answer = self.answer
        if answer.is_uniform:
            head = _uniform_head(
                self.endpoint.allow, answer.status, bool(answer.body), answer.shared_headers, form.added_headers
            )
            return head + answer.own_lines(), answer.body
        rendered = self._rendered.get(form)
        if rendered is None:
            answer = answer.for_conditions(form.conditions)
            body, own_headers = answer.render_for(form.accept_encoding)
            headers = form.added_headers.merge({"Allow": self.endpoint.allow, **own_headers}, body)
            left_out = () if body else BODY_ANSWER_HEADERS
            if len(self._rendered) >= MAX_RENDERED_ANSWERS:
                self._rendered.clear()
            head = http_head(answer.status, [header for header in headers if header[0] not in left_out])
            rendered = self._rendered[form] = head, body
        return rendered


# An identity's answer is sent once. Its head depends on the identity only by the length of the body.
@lru_cache(maxsize=1_024)
def _uniform_head(
    allow: str, status: int, has_body: bool, shared_headers: Headers, added_headers: MiddlewareHeaders
) -> bytes:
    """The head without the headers that only one answer has (``Answer.own_lines``)."""
    left_out = BODY_ANSWER_HEADERS[:1] if has_body else BODY_ANSWER_HEADERS
    named = {"Allow": allow, **dict(shared_headers), "Content-Type": "application/json"}
    return http_head(status, [header for header in added_headers.merge(named, b"") if header[0] not in left_out])


class Isolated(NamedTuple):
    """A read of an expensive environment: the evaluation process has to answer it."""

    asked: VersionedRead


NextStep = VersionedRead | Isolated | Request
"""What is left to do for a request: build a shared answer, use the evaluation process, or, because the batch has used
its time, take part in the next batch."""

Step = ReadyAnswer | NextStep | None
"""The result of a batch for one request. None: Django has to answer."""


class ReadBatches:
    """The batched reads of one event loop."""

    def __init__(self) -> None:
        reader, builder, evaluator = (DatabaseThread(name) for name in ("sdk-reader", "sdk-builder", "sdk-evaluator"))
        self._shared = Batcher[Request, Step](reader, find_answers)
        # A build can take long. So a batch has one, and organisations take turns.
        self._builds = Batcher[VersionedRead, Step](
            builder,
            build_answers,
            min_interval=0,
            max_batch=1,
            group=lambda asked: asked.organisation_id,
        )
        self._evaluations = Batcher[Request, Step](
            evaluator,
            evaluate,
            max_batch=MAX_BATCH_IDENTITIES,
            group=lambda request: request.key,
        )

    def first_step(self, request: Request) -> "asyncio.Future[Step]":
        """The first step to the answer. Equal requests share the future, so it must not be cancelled."""
        return (self._shared if request.is_shared else self._evaluations).submit(request)

    def next_step(self, step: NextStep) -> "asyncio.Future[Step]":
        if isinstance(step, VersionedRead):
            return self._builds.submit(step)
        if isinstance(step, Request):
            return self._evaluations.submit(step)
        return asyncio.ensure_future(self._run_isolated(step.asked))

    async def _run_isolated(self, asked: VersionedRead) -> Step:
        version, organisation_id, read = asked
        # Traits can change without a new version, so no other read shares an identity's answer.
        key = object() if read.identity is not None else asked
        try:
            result = await asyncio.wrap_future(
                isolation.submit_to_evaluation_process(version, organisation_id, key, asked.work)
            )
        except Exception as error:
            if read.endpoint != OFREP and not isinstance(error, APIException):
                raise
            return _failed(read.endpoint, version.environment_id, error, read.feature)
        if read.is_shared:
            answers.add(asked, result)
        return ReadyAnswer(read.endpoint, version.environment_id, result.value)


class EqualRequests:
    """Answers requests with equal bytes: those that wait for one batch share one rendered answer."""

    def __init__(self, scope: Message, request: Request, added_headers: MiddlewareHeaders) -> None:
        self._request = request
        self._form = Form.of(scope, request, added_headers)
        self._labels = labels.from_headers(scope["headers"])
        self._future: asyncio.Future[Step] | None = None
        self._waiting: list[DeferredResponse] = []

    def answer(self, channel: Deferrable) -> bool:
        self.respond(channel.defer())
        return True

    def respond(self, deferred: DeferredResponse) -> None:
        """Respond to a request, later."""
        future = runtime.current().get(ReadBatches).first_step(self._request)
        if future is not self._future:
            self._future, self._waiting = future, []
            future.add_done_callback(partial(self._continue, self._waiting))
        self._waiting.append(deferred)

    def _continue(self, waiting: list[DeferredResponse], future: "asyncio.Future[Step]") -> None:
        if self._future is future:
            self._future, self._waiting = None, []
        step = _result(self._request, future)
        if isinstance(step, NextStep):
            runtime.current().get(ReadBatches).next_step(step).add_done_callback(partial(self._continue, waiting))
            return
        if step is None:
            for deferred in waiting:
                deferred.fall_back()
            return
        step.count(self._labels, len(waiting))
        head, body = step.render(self._form)
        for deferred in waiting:
            deferred.reply(head, body)


def shortcut(scope: Scope) -> Answerer | None:
    """GETs, for ``realtime.http.shortcuts``: answers on the client's connection, without ASGI."""
    requests = _equal_requests(scope, parse_get(scope))
    return None if requests is None else requests.answer


def post_shortcut(scope: Scope, body: bytes, deferred: DeferredResponse) -> bool:
    """POSTs of ``identities/``, for ``realtime.http.shortcuts``."""
    return _respond(_equal_requests(scope, parse_post(scope, body)), deferred)


def ofrep_shortcut(scope: Scope, body: bytes, deferred: DeferredResponse) -> bool:
    """Evaluations of OFREP, for ``realtime.http.shortcuts``."""
    key, flag, if_none_match = protocol.parse(scope) or ("", None, "")
    request = Request(OFREP, key, flag=flag, body=body, if_none_match=if_none_match) if key else None
    # The names of flags in paths would fill the cache of the middleware's headers.
    return _respond(_equal_requests({**scope, "path": protocol.PREFIX}, request), deferred)


def _equal_requests(scope: Message, request: Request | None) -> EqualRequests | None:
    added_headers = middleware_headers(scope) if request is not None else None
    return None if request is None or added_headers is None else EqualRequests(scope, request, added_headers)


def _respond(requests: EqualRequests | None, deferred: DeferredResponse) -> bool:
    if requests is None:
        return False
    requests.respond(deferred)
    return True


def read_path(django: Application) -> Application:
    """The ASGI application that answers plain GETs and passes all other requests to Django."""

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        request = parse_get(scope)
        deferred = ASGIResponse()
        if request is not None and _respond(_equal_requests(scope, request), deferred):
            response = await deferred.response
            if response is not None:
                await response.send(send)
                return
        if request is not None:
            read_metrics.READS_PASSED_TO_DJANGO[ENDPOINTS[request.endpoint].resource].add()
        await django(scope, receive, send)

    return application


def parse_get(scope: Message) -> Request | None:
    """The read that a plain GET asks for. None: Django has to answer the request."""
    endpoint = PATHS.get(scope["path"])
    if endpoint is None or scope["method"] != "GET":
        return None
    if any(name in BODY_REQUEST_HEADERS for name, _ in scope["headers"]):
        return None
    key = _header(scope, b"x-environment-key").strip()
    if not key or (endpoint == DOCUMENT and not key.startswith(SERVER_PREFIX)):
        return None
    if endpoint != IDENTITIES:
        return None if scope["query_string"] else Request(endpoint, key)
    try:
        query = parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        return None
    if len(query) != 1 or query[0][0] != "identifier":
        return None
    identifier = query[0][1]
    # Everything that the view's serializer could strip or reject.
    if not 0 < len(identifier) <= MAX_IDENTIFIER_LENGTH or identifier != identifier.strip() or "\0" in identifier:
        return None
    return Request(endpoint, key, identifier)


def parse_post(scope: Message, encoded: bytes) -> Request | None:
    """The identity and traits of a plain POST. None: Django has to answer the request."""
    if PATHS.get(scope["path"]) != IDENTITIES or scope["query_string"]:
        return None
    if _header(scope, b"content-type") not in JSON_TYPES or _header(scope, b"content-encoding"):
        return None
    key = _header(scope, b"x-environment-key").strip()
    body = identity_bodies.parse(encoded) if key else None
    return None if body is None else Request(IDENTITIES, key, body.identifier, body)


def _result(request: Request, future: "asyncio.Future[Step]") -> Step:
    """The result of a batch. Its failures are already logged."""
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, DATABASE_ERRORS):
        return _failed(request.endpoint, None, error, request.flag)
    # In Django the same failure occurs, and gets the usual response.
    return None


def _failed(endpoint: str, environment_id: int | None, error: Exception, flag: str | None) -> ReadyAnswer:
    return ReadyAnswer(endpoint, environment_id, ENDPOINTS[endpoint].failure(error, Failure.of(error), flag))


def find_answers(requests: list[Request]) -> dict[Request, Step]:
    """The cached answers to these requests, or the reads to build. Invalid keys are left out."""
    return {request: _find(request.read(client)) for request, client in _with_clients(requests)}


def _find(asked: VersionedRead) -> Step:
    cached = answers.find(asked)
    return asked if cached is None else _cached(asked, cached)


def _cached(asked: VersionedRead, cached: CachedAnswer) -> ReadyAnswer:
    return ReadyAnswer.from_cache(asked.read.endpoint, asked.version.environment_id, cached)


def build_answers(reads: list[VersionedRead]) -> dict[VersionedRead, Step]:
    return {asked: _compute(asked) for asked in reads}


def evaluate(requests: list[Request]) -> dict[Request, Step]:
    """The answers to these requests for ``identities/`` and OFREP.

    Invalid keys are left out, and so are identities that have to be stored or that have a trait to be stored.
    """
    requests_with_clients = list(_with_clients(requests))
    stored = _read_identities(requests_with_clients)
    steps: dict[Request, Step] = {}
    deadline = time.monotonic() + BATCH_EVALUATION_SECONDS
    for request, client in requests_with_clients:
        identity = None
        if request.endpoint == IDENTITIES:
            identity = _identity(request, client, stored[client.environment_id, request.identifier])
            if identity is None:
                continue
        asked = request.read(client, identity)
        if (unchanged := answers.unchanged(asked)) is not None:
            steps[request] = ReadyAnswer(request.endpoint, client.environment_id, unchanged)
        else:
            # The first one is evaluated in any case, so each batch makes progress.
            is_late = bool(steps) and time.monotonic() > deadline
            steps[request] = request if is_late else _compute(asked)
    return steps


def _identity(request: Request, client: SDKClient, stored: RequestIdentity) -> RequestIdentity | None:
    """The identity of ``identities/``. None: it or its traits have to be stored."""
    if request.posted is None:
        return stored if stored.id is not None else None
    traits, transient = request.posted.traits if client.may_set_traits else [], request.posted.transient
    if stored.traits_to_store(traits, transient=transient, persist_traits=client.persist_trait_data) is not None:
        return None
    return stored.with_unstored(traits, transient=transient)


def _compute(asked: VersionedRead) -> Step:
    """Answer in this thread, unless the environment is expensive. A failure affects only reads of its environment."""
    try:
        result = isolation.run_in_server_process(asked.version, asked.work, asked.cheap_seconds)
    except isolation.EnvironmentIsExpensive:
        return Isolated(asked)
    except Environment.DoesNotExist:
        return None
    except DATABASE_ERRORS:
        raise
    except Exception as error:
        # In Django the same failure occurs, and is logged with its traceback.
        logger.warning("read_failed", environment=asked.version.environment_id, error=repr(error))
        return None
    if asked.read.is_shared:
        return _cached(asked, answers.add(asked, result))
    return ReadyAnswer(asked.read.endpoint, asked.version.environment_id, result.value)


def _with_clients(requests: list[Request]) -> Iterator[tuple[Request, SDKClient]]:
    """The requests whose key is valid and whose organisation is served."""
    clients = authentication.clients_by_key({request.key for request in requests})
    for request in requests:
        client = clients.get(request.key)
        if client is not None and not client.stop_serving_flags:
            yield request, client


def _read_identities(requests: list[tuple[Request, SDKClient]]) -> dict[tuple[int, str], RequestIdentity]:
    """The stored identities by environment's primary key and identifier, with one query for each environment."""
    identifiers: dict[int, set[str]] = defaultdict(set)
    for request, client in requests:
        if request.endpoint == IDENTITIES:
            identifiers[client.environment_id].add(request.identifier)
    return {
        (environment_id, identifier): identity
        for environment_id, in_environment in identifiers.items()
        for identifier, identity in identify.read(environment_id, in_environment).items()
    }


def _header(scope: Message, name: bytes) -> str:
    """The header's value. Repeated headers are joined, as in Django."""
    return ",".join([value.decode("latin-1") for header, value in scope["headers"] if header == name])
