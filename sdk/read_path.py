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
from collections.abc import Callable, Hashable, Iterator
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
from environment_documents.document import Version
from environment_documents.isolation import Work, WorkResult
from environments.identities.models import Identity
from environments.keys import SERVER_PREFIX
from environments.models import Environment
from realtime import ofrep as protocol
from realtime import runtime
from realtime.answers import Answer, ConditionalHeaders, Headers, http_head
from realtime.batching import Batcher, DatabaseThread
from realtime.delivery.spread import refetch_rate
from realtime.http.shortcuts import Answerer, Channel, DeferredResponse
from realtime.ofrep import EvaluationRequest
from realtime.types import Application, Message, Receive, Scope, Send
from sdk import authentication, identify, identity_bodies, ofrep, read_metrics, responses, shared_answers, views
from sdk.authentication import SDKClient
from sdk.identify import RequestIdentity
from sdk.identity_bodies import IdentityBody
from sdk.shared_answers import SharedKey

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


FLAGS, IDENTITIES = _endpoint(views.FlagsView()), _endpoint(views.IdentitiesView())
DOCUMENT = _endpoint(views.DocumentView())
OFREP = Endpoint(Resource.IDENTITIES, "POST, OPTIONS", ofrep.answer_to)

ENDPOINTS = {"/api/v1/flags/": FLAGS, "/api/v1/identities/": IDENTITIES, "/api/v1/environment-document/": DOCUMENT}


class Read(NamedTuple):
    """The parts of a request that its answer depends on."""

    endpoint: Endpoint
    environment_key: str
    identifier: str = ""
    body: IdentityBody | None = None
    """Of a POST of ``identities/``."""

    evaluation: EvaluationRequest | None = None
    """Of OFREP."""

    @property
    def is_shared(self) -> bool:
        """All clients of the environment with the same kind of key get the same answer."""
        return self.endpoint is FLAGS or self.endpoint is DOCUMENT


class Form(NamedTuple):
    """The parts of a request that the form of its answer depends on."""

    added_headers: MiddlewareHeaders
    accept_encoding: str
    conditions: ConditionalHeaders

    @classmethod
    def of(cls, scope: Message, read: Read, added_headers: MiddlewareHeaders) -> "Form":
        if not read.is_shared:
            # Its answer is uniform: small, and not conditional. (OFREP's condition is a part of the read.)
            return cls(added_headers, "", NO_CONDITIONS)
        conditions = ConditionalHeaders(_header(scope, b"if-none-match"), _header(scope, b"if-modified-since"))
        return cls(added_headers, _header(scope, b"accept-encoding"), conditions)


class ReadyAnswer:
    """An answer that can be sent, with its rendered forms, which all requests of a batch share."""

    def __init__(
        self,
        endpoint: Endpoint,
        environment_id: int | None,
        answer: Answer,
        rendered: RenderedAnswers | None = None,
    ) -> None:
        self.endpoint = endpoint
        self.environment_id = environment_id
        """None if the database is unavailable: the key's environment is unknown."""
        self.answer = answer
        self._refetch_deadline = (
            read_metrics.refetch_deadline(answer.updated_at) if answer.updated_at is not None else None
        )
        self._rendered: RenderedAnswers = {} if rendered is None else rendered

    @classmethod
    def from_cache(cls, endpoint: Endpoint, environment_id: int, cached: CachedAnswer) -> "ReadyAnswer":
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


class IsolatedWork(NamedTuple):
    """An answer that has to be computed in the evaluation process."""

    endpoint: Endpoint
    version: Version
    organisation_id: int
    key: Hashable
    """Equal for requests that can share the answer, among those of this version and endpoint."""

    work: Work[Answer]
    flag: str | None = None
    """The one flag that OFREP has asked for."""


class Postponed(NamedTuple):
    """A read that is moved to the next batch, because this batch has used its time."""

    read: Read


Step = ReadyAnswer | SharedKey | IsolatedWork | Postponed | None
"""The result of a batch for one read: the answer, or the next step to it. None: Django has to answer."""

NextStep = SharedKey | IsolatedWork | Postponed


class ReadBatches:
    """The batched reads of one event loop."""

    def __init__(self) -> None:
        reader, builder, evaluator = (DatabaseThread(name) for name in ("sdk-reader", "sdk-builder", "sdk-evaluator"))
        self._shared = Batcher[Read, Step](reader, find_answers)
        # A build can take long. So a batch has one, and organisations take turns.
        self._builds = Batcher[SharedKey, Step](
            builder,
            build_answers,
            min_interval=0,
            max_batch=1,
            group=lambda key: key.organisation_id,
        )
        self._evaluations = Batcher[Read, Step](
            evaluator,
            evaluate,
            max_batch=MAX_BATCH_IDENTITIES,
            group=lambda read: read.environment_key,
        )

    def first_step(self, read: Read) -> "asyncio.Future[Step]":
        """The first step to the answer. Equal reads share the future, so it must not be cancelled."""
        return (self._shared if read.is_shared else self._evaluations).submit(read)

    def next_step(self, step: NextStep) -> "asyncio.Future[Step]":
        if isinstance(step, SharedKey):
            return self._builds.submit(step)
        if isinstance(step, Postponed):
            return self._evaluations.submit(step.read)
        return asyncio.ensure_future(self._run_isolated(step))

    async def _run_isolated(self, isolated: IsolatedWork) -> Step:
        endpoint, version = isolated.endpoint, isolated.version
        key = (version, endpoint, isolated.key)
        try:
            result = await asyncio.wrap_future(
                isolation.submit_to_evaluation_process(version, isolated.organisation_id, key, isolated.work)
            )
        except Exception as error:
            if endpoint is not OFREP and not isinstance(error, APIException):
                raise
            return _failed(endpoint, version.environment_id, error, isolated.flag)
        if isinstance(isolated.key, SharedKey):
            shared_answers.add(isolated.key, result)
        return ReadyAnswer(endpoint, version.environment_id, result.value)


class EqualRequests:
    """Answers requests with equal bytes: those that wait for one batch share one rendered answer."""

    def __init__(self, scope: Message, read: Read, added_headers: MiddlewareHeaders) -> None:
        self._read = read
        self._form = Form.of(scope, read, added_headers)
        self._labels = labels.from_headers(scope["headers"])
        self._future: asyncio.Future[Step] | None = None
        self._waiting: list[DeferredResponse] = []

    def answer(self, channel: Channel) -> bool:
        self.respond(channel.defer())
        return True

    def respond(self, deferred: DeferredResponse) -> None:
        """Respond to a request, later."""
        future = runtime.current().get(ReadBatches).first_step(self._read)
        if future is not self._future:
            self._future, self._waiting = future, []
            future.add_done_callback(partial(self._continue, self._waiting))
        self._waiting.append(deferred)

    def _continue(self, waiting: list[DeferredResponse], future: "asyncio.Future[Step]") -> None:
        if self._future is future:
            self._future, self._waiting = None, []
        step = _result(self._read, future)
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
    requests = _equal_requests(scope, parse_read(scope))
    return None if requests is None else requests.answer


def post_shortcut(scope: Scope, body: bytes, deferred: DeferredResponse) -> bool:
    """POSTs of ``identities/``, for ``realtime.http.shortcuts``."""
    return _respond(_equal_requests(scope, parse_post(scope, body)), deferred)


def ofrep_shortcut(scope: Scope, body: bytes, deferred: DeferredResponse) -> bool:
    """Evaluations of OFREP, for ``realtime.http.shortcuts``."""
    request = protocol.parse(scope, body)
    read = Read(OFREP, request.key, evaluation=request) if request is not None and request.key else None
    # The names of flags in paths would fill the cache of the middleware's headers.
    return _respond(_equal_requests({**scope, "path": protocol.PREFIX}, read), deferred)


def _equal_requests(scope: Message, read: Read | None) -> EqualRequests | None:
    added_headers = middleware_headers(scope) if read is not None else None
    return None if read is None or added_headers is None else EqualRequests(scope, read, added_headers)


def _respond(requests: EqualRequests | None, deferred: DeferredResponse) -> bool:
    if requests is None:
        return False
    requests.respond(deferred)
    return True


class ASGIResponse:
    """The deferred response to a request that has come by ASGI."""

    def __init__(self) -> None:
        self.head_and_body: asyncio.Future[tuple[bytes, bytes] | None] = asyncio.get_running_loop().create_future()
        """None: Django has to respond."""

    def reply(self, head: bytes, body: bytes) -> None:
        self._finish((head, body))

    def fall_back(self) -> None:
        self._finish(None)

    def _finish(self, result: tuple[bytes, bytes] | None) -> None:
        # It is cancelled if the client has disconnected.
        if not self.head_and_body.done():
            self.head_and_body.set_result(result)


def read_path(django: Application) -> Application:
    """The ASGI application that answers plain GETs and passes all other requests to Django."""

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        read = parse_read(scope)
        deferred = ASGIResponse()
        if read is not None and _respond(_equal_requests(scope, read), deferred):
            rendered = await deferred.head_and_body
            if rendered is not None:
                head, body = rendered
                status_line, *lines = head.split(b"\r\n")[:-1]
                headers = [tuple(line.split(b": ", 1)) for line in lines]
                status = int(status_line.split(b" ", 2)[1])
                await send({"type": "http.response.start", "status": status, "headers": headers})
                await send({"type": "http.response.body", "body": body})
                return
        if read is not None:
            read_metrics.READS_PASSED_TO_DJANGO[read.endpoint.resource].add()
        await django(scope, receive, send)

    return application


def parse_read(scope: Message) -> Read | None:
    """The read that a plain GET asks for. None: Django has to answer the request."""
    endpoint = ENDPOINTS.get(scope["path"])
    if endpoint is None or scope["method"] != "GET":
        return None
    if any(name in BODY_REQUEST_HEADERS for name, _ in scope["headers"]):
        return None
    key = _header(scope, b"x-environment-key").strip()
    if not key or (endpoint is DOCUMENT and not key.startswith(SERVER_PREFIX)):
        return None
    if endpoint is not IDENTITIES:
        return None if scope["query_string"] else Read(endpoint, key)
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
    return Read(endpoint, key, identifier)


def parse_post(scope: Message, encoded: bytes) -> Read | None:
    """The identity and traits of a plain POST. None: Django has to answer the request."""
    if ENDPOINTS.get(scope["path"]) is not IDENTITIES or scope["query_string"]:
        return None
    if _header(scope, b"content-type") not in JSON_TYPES or _header(scope, b"content-encoding"):
        return None
    key = _header(scope, b"x-environment-key").strip()
    body = identity_bodies.parse(encoded) if key else None
    return None if body is None else Read(IDENTITIES, key, body.identifier, body)


def _result(read: Read, future: "asyncio.Future[Step]") -> Step:
    """The result of a batch. Its failures are already logged."""
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, DATABASE_ERRORS):
        return _failed(read.endpoint, None, error, read.evaluation.flag if read.evaluation is not None else None)
    # In Django the same failure occurs, and gets the usual response.
    return None


def _failed(endpoint: Endpoint, environment_id: int | None, error: Exception, flag: str | None) -> ReadyAnswer:
    return ReadyAnswer(endpoint, environment_id, endpoint.failure(error, Failure.of(error), flag))


def find_answers(reads: list[Read]) -> dict[Read, Step]:
    """The cached answers of these reads, or the keys of those to build. Invalid keys are left out."""
    return {read: _find(read.endpoint, client) for read, client in _with_clients(reads)}


def _find(endpoint: Endpoint, client: SDKClient) -> Step:
    key = SharedKey.for_document(client) if endpoint is DOCUMENT else SharedKey.for_flags(client)
    cached = shared_answers.find(key)
    return key if cached is None else ReadyAnswer.from_cache(endpoint, client.environment_id, cached)


def build_answers(keys: list[SharedKey]) -> dict[SharedKey, Step]:
    return {key: _build(key) for key in keys}


def _build(key: SharedKey) -> Step:
    endpoint = DOCUMENT if key.is_document else FLAGS
    isolated = IsolatedWork(endpoint, key.version, key.organisation_id, key, key.work)
    result = _run_unless_expensive(isolated, isolation.CHEAP_SECONDS)
    if not isinstance(result, WorkResult):
        return result
    return ReadyAnswer.from_cache(endpoint, key.version.environment_id, shared_answers.add(key, result))


def evaluate(reads: list[Read]) -> dict[Read, Step]:
    """The answers of these reads of ``identities/`` and OFREP.

    Invalid keys are left out, and so are identities that have to be stored or that have a trait to be stored.
    """
    reads_with_clients = list(_with_clients(reads))
    stored = _read_identities(reads_with_clients)
    steps: dict[Read, Step] = {}
    deadline = time.monotonic() + BATCH_EVALUATION_SECONDS
    for read, client in reads_with_clients:
        step: Step
        if read.evaluation is not None:
            step = _evaluation(read.evaluation, client)
        else:
            step = _identity(read, client, stored[client.environment_id, read.identifier])
        if isinstance(step, IsolatedWork):
            # The first one is evaluated in any case, so each batch makes progress.
            is_late = bool(steps) and time.monotonic() > deadline
            steps[read] = Postponed(read) if is_late else _evaluate(step)
        elif step is not None:
            steps[read] = step
    return steps


def _identity(read: Read, client: SDKClient, stored: RequestIdentity) -> IsolatedWork | None:
    """The evaluation of ``identities/``. None: the identity or its traits have to be stored."""
    if read.body is None:
        identity = stored
        if stored.id is None:
            return None
    else:
        traits, transient = read.body.traits if client.may_set_traits else [], read.body.transient
        if stored.traits_to_store(traits, transient=transient, persist_traits=client.persist_trait_data) is not None:
            return None
        identity = stored.with_unstored(traits, transient=transient)
    work = partial(responses.identity, identity=identity, server_side=client.server_side)
    # A key of its own: traits can change without a new version, so no other read shares the answer.
    return IsolatedWork(IDENTITIES, client.version, client.organisation_id, object(), work)


def _evaluation(request: EvaluationRequest, client: SDKClient) -> IsolatedWork | ReadyAnswer:
    if (unchanged := ofrep.unchanged(request, client)) is not None:
        return ReadyAnswer(OFREP, client.environment_id, unchanged)
    work = ofrep.work(request, client)
    return IsolatedWork(OFREP, client.version, client.organisation_id, request, work, request.flag)


def _evaluate(isolated: IsolatedWork) -> Step:
    result = _run_unless_expensive(isolated, isolation.CHEAP_IDENTITY_SECONDS)
    if not isinstance(result, WorkResult):
        return result
    return ReadyAnswer(isolated.endpoint, isolated.version.environment_id, result.value)


def _run_unless_expensive(isolated: IsolatedWork, cheap_seconds: float) -> WorkResult[Answer] | IsolatedWork | None:
    """Do the work in this thread, unless it is expensive. A failure affects only its own environment's reads."""
    try:
        return isolation.run_in_server_process(isolated.version, isolated.work, cheap_seconds)
    except isolation.EnvironmentIsExpensive:
        return isolated
    except Environment.DoesNotExist:
        return None
    except DATABASE_ERRORS:
        raise
    except Exception as error:
        # In Django the same failure occurs, and is logged with its traceback.
        logger.warning("read_failed", environment=isolated.version.environment_id, error=repr(error))
        return None


def _with_clients(reads: list[Read]) -> Iterator[tuple[Read, SDKClient]]:
    """The reads whose key is valid and whose organisation is served."""
    clients = authentication.clients_by_key({read.environment_key for read in reads})
    for read in reads:
        client = clients.get(read.environment_key)
        if client is not None and not client.stop_serving_flags:
            yield read, client


def _read_identities(reads: list[tuple[Read, SDKClient]]) -> dict[tuple[int, str], RequestIdentity]:
    """The stored identities by environment's primary key and identifier, with one query for each environment."""
    identifiers: dict[int, set[str]] = defaultdict(set)
    for read, client in reads:
        if read.endpoint is IDENTITIES:
            identifiers[client.environment_id].add(read.identifier)
    return {
        (environment_id, identifier): identity
        for environment_id, in_environment in identifiers.items()
        for identifier, identity in identify.read(environment_id, in_environment).items()
    }


def _header(scope: Message, name: bytes) -> str:
    """The header's value. Repeated headers are joined, as in Django."""
    return ",".join([value.decode("latin-1") for header, value in scope["headers"] if header == name])
