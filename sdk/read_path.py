"""Fast path of the SDK API: answers the most frequent reads ahead of Django, with batched database queries.

It answers a plain GET of ``flags/``, ``identities/`` or ``environment-document/`` with a valid key, and a POST of
``identities/`` after which nothing has to be stored, with the same bytes as the view. Concurrent requests share one
read of the database, which begins after they have arrived, so a response is never older than its request. All other
requests are passed to Django, also those that it rejects. There are two exceptions: an unavailable database (503), and
an evaluation that took too long (422). POSTs take the fast path on the connection only (``post_shortcut``).

Three threads separate fast reads from slow ones. The first finds cached responses, the second builds those of changed
environments, the third evaluates identities. Expensive environments are left to another process
(``evaluation.isolation``).
"""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Hashable, Iterator
from functools import lru_cache, partial
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest
from rest_framework.exceptions import APIException

from app_analytics import labels, meter
from app_analytics.models import Resource
from core.connections import retried
from core.errors import Failure
from core.middleware_headers import MiddlewareHeaders, middleware_headers
from environments.identities.models import Identity
from environments.keys import SERVER_PREFIX
from environments.models import Environment
from evaluation import isolation
from evaluation.document import Version
from evaluation.isolation import Work, WorkResult
from realtime.batching import Batcher, DatabaseThread
from realtime.delivery.spread import refetch_rate
from realtime.http.shortcuts import Answerer, Channel, DeferredResponse
from realtime.types import Application, Message, Receive, Scope, Send, UpdatedAt
from sdk import authentication, identify, identity_bodies, read_metrics, responses, views
from sdk.authentication import SDKClient
from sdk.identify import RequestIdentity
from sdk.identity_bodies import IdentityBody
from sdk.response_cache import CachedResponse, RenderedResponses, ResponseKey, cached_responses
from sdk.responses import ConditionalHeaders, EncodedResponse, ErrorResponse

logger = structlog.get_logger(__name__)

RESOURCES = {
    "/api/v1/flags/": Resource.FLAGS,
    "/api/v1/identities/": Resource.IDENTITIES,
    "/api/v1/environment-document/": Resource.ENVIRONMENT_DOCUMENT,
}


def _allowed_methods(view: views.SDKView) -> str:
    view.setup(HttpRequest())
    return ", ".join(view.allowed_methods)


# The header that Django REST framework adds to every response.
ALLOW_HEADERS = {
    view.resource: _allowed_methods(view) for view in (views.FlagsView(), views.IdentitiesView(), views.DocumentView())
}

MAX_IDENTIFIER_LENGTH = Identity._meta.get_field("identifier").max_length or 0


# Identities are evaluated in batches, and all requests of a batch are answered at its end. After this time of
# evaluation, the remaining requests are moved to the next batch.
MAX_BATCH_IDENTITIES = 100
BATCH_EVALUATION_SECONDS = 0.05

# Rendered forms that are kept of one response. They depend on request headers, so clients could create any number.
MAX_RENDERED_RESPONSES = 32

# The database is unavailable.
DATABASE_ERRORS = (OperationalError, InterfaceError)

# A GET with one of these headers may have a body.
BODY_REQUEST_HEADERS = frozenset((b"content-length", b"transfer-encoding", b"expect"))

# Values of Content-Type that SDKs send.
JSON_TYPES = frozenset(("application/json", "application/json; charset=utf-8", "application/json;charset=UTF-8"))

# Headers that a response without a body (304) does not have.
BODY_RESPONSE_HEADERS = (b"content-length", b"content-type")


class Read(NamedTuple):
    """The parts of a request that its response depends on."""

    resource: Resource
    environment_key: str
    identifier: str = ""
    body: IdentityBody | None = None
    """None for a GET."""


class ReadyResponse:
    """A response that can be sent, with its rendered forms, which all requests of a batch share."""

    def __init__(
        self,
        resource: Resource,
        environment_id: int | None,
        response: EncodedResponse | ErrorResponse,
        rendered: RenderedResponses | None = None,
    ) -> None:
        self.resource = resource
        self.environment_id = environment_id
        """None if the database is unavailable: the key's environment is unknown."""
        self.response = response
        self._refetch_deadline = (
            read_metrics.refetch_deadline(response.updated_at) if isinstance(response, EncodedResponse) else None
        )
        self._rendered: RenderedResponses = {} if rendered is None else rendered

    @classmethod
    def from_cache(cls, resource: Resource, environment_id: int, cached: CachedResponse) -> "ReadyResponse":
        """Reuse the rendered forms of earlier reads, unless they depend on the time (``Validators``)."""
        rendered = cached.rendered if cached.response.validators is None else None
        return cls(resource, environment_id, cached.response, rendered)

    def count(self, number: int = 1) -> None:
        """Count the requests that get this response. Only for the event loop."""
        if self._refetch_deadline is not None:
            read_metrics.count_reads(self.resource, self._refetch_deadline, number)

    def render_for(
        self, accept_encoding: str, added_headers: MiddlewareHeaders, conditions: ConditionalHeaders
    ) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
        """Status, body and all headers, for ASGI."""
        response = self.response.for_conditions(conditions)
        body, own_headers = response.render_for(accept_encoding)
        headers = added_headers.merge({"Allow": ALLOW_HEADERS[self.resource], **own_headers}, body)
        if response.status == HTTPStatus.NOT_MODIFIED:
            headers = [header for header in headers if header[0] not in BODY_RESPONSE_HEADERS]
        return response.status, body, headers

    def render_http_for(
        self, accept_encoding: str, added_headers: MiddlewareHeaders, conditions: ConditionalHeaders
    ) -> tuple[bytes, bytes]:
        """Head and body of the HTTP/1.1 response."""
        response = self.response
        if isinstance(response, EncodedResponse) and response.is_uniform:
            before, after = _uniform_head(self.resource, response.status, response.updated_at, added_headers)
            return b"%b%d%b" % (before, len(response.body), after), response.body
        rendered = self._rendered.get((added_headers, accept_encoding, conditions))
        if rendered is None:
            status, body, headers = self.render_for(accept_encoding, added_headers, conditions)
            if len(self._rendered) >= MAX_RENDERED_RESPONSES:
                self._rendered.clear()
            rendered = self._rendered[added_headers, accept_encoding, conditions] = _head(status, headers), body
        return rendered


def _head(number: int, headers: list[tuple[bytes, bytes]]) -> bytes:
    """The status line and the headers of an HTTP/1.1 response."""
    status = HTTPStatus(number)
    lines = [b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode())]
    return b"".join(lines + [b"%b: %b\r\n" % header for header in headers])


# An identity's response is sent once. Its head depends on the identity only by the length of the body.
@lru_cache(maxsize=1_024)
def _uniform_head(
    resource: Resource, status: int, updated_at: UpdatedAt, added_headers: MiddlewareHeaders
) -> tuple[bytes, bytes]:
    """The parts of the head before and after the length of the body."""
    empty = ReadyResponse(resource, None, EncodedResponse(updated_at, b"", status=status))
    _, _, headers = empty.render_for("", added_headers, ConditionalHeaders())
    position = [name for name, _ in headers].index(b"content-length")
    before = _head(status, [*headers[:position], (b"content-length", b"")]).removesuffix(b"\r\n")
    return before, b"\r\n" + b"".join([b"%b: %b\r\n" % header for header in headers[position + 1 :]])


class IsolatedWork(NamedTuple):
    """A response that has to be computed in the evaluation process."""

    version: Version
    organisation_id: int
    resource: Resource
    key: Hashable
    """Equal for requests that can share the response, among those of this version and resource."""

    work: Work[EncodedResponse]


class Postponed(NamedTuple):
    """A read that is moved to the next batch, because this batch has used its time."""

    read: Read


Step = ReadyResponse | ResponseKey | IsolatedWork | Postponed | None
"""The result of a batch for one read: the response, or the next step to it. None: Django has to answer."""

NextStep = ResponseKey | IsolatedWork | Postponed


class ReadBatches:
    """The batched reads of one event loop."""

    def __init__(self) -> None:
        self._threads = [DatabaseThread(name) for name in ("sdk-reader", "sdk-builder", "sdk-evaluator")]
        reader, builder, evaluator = self._threads
        self._cached = Batcher[Read, Step](reader, lambda reads: retried(partial(find_responses, reads)))
        # A build can take long. So a batch has one, and organisations take turns.
        self._builds = Batcher[ResponseKey, Step](
            builder,
            lambda keys: retried(partial(build_responses, keys)),
            min_interval=0,
            max_batch=1,
            group=lambda key: key.organisation_id,
        )
        self._identities = Batcher[Read, Step](
            evaluator,
            lambda reads: retried(partial(evaluate_identities, reads)),
            max_batch=MAX_BATCH_IDENTITIES,
            group=lambda read: read.environment_key,
        )

    def first_step(self, read: Read) -> "asyncio.Future[Step]":
        """The first step to the response. Equal reads share the future, so it must not be cancelled."""
        batches = self._identities if read.resource is Resource.IDENTITIES else self._cached
        return batches.submit(read)

    def next_step(self, step: NextStep) -> "asyncio.Future[Step]":
        if isinstance(step, ResponseKey):
            return self._builds.submit(step)
        if isinstance(step, Postponed):
            return self._identities.submit(step.read)
        return asyncio.ensure_future(self._run_isolated(step))

    async def close(self) -> None:
        await asyncio.gather(*(thread.close() for thread in self._threads))

    async def _run_isolated(self, isolated: IsolatedWork) -> Step:
        key = (isolated.version, isolated.resource, isolated.key)
        try:
            result = await asyncio.wrap_future(
                isolation.submit_to_evaluation_process(isolated.version, isolated.organisation_id, key, isolated.work)
            )
        except APIException as error:
            return _error_response(isolated.resource, isolated.version.environment_id, error)
        if isinstance(isolated.key, ResponseKey):
            cached_responses.add(isolated.key, result)
        return ReadyResponse(isolated.resource, isolated.version.environment_id, result.value)


_batches: WeakKeyDictionary[asyncio.AbstractEventLoop, ReadBatches] = WeakKeyDictionary()

# The event loop that was used last, and its batches: a faster lookup, because a process nearly always has one loop.
_latest: tuple[asyncio.AbstractEventLoop, ReadBatches] | None = None


def read_path(django: Application) -> Application:
    """The ASGI application that answers plain reads and passes all other requests to Django."""

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        read = parse_read(scope)
        added_headers = middleware_headers(scope) if read is not None else None
        ready = await _response(read) if read is not None and added_headers is not None else None
        if ready is None or added_headers is None or read is None:
            if read is not None:
                read_metrics.READS_PASSED_TO_DJANGO[read.resource].add()
            await django(scope, receive, send)
            return
        if ready.environment_id is not None:
            meter.count(read.resource, ready.environment_id, scope["headers"])
        ready.count()
        accept_encoding = _header(scope, b"accept-encoding")
        status, body, headers = ready.render_for(accept_encoding, added_headers, _conditions(scope))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return application


class EqualRequests:
    """Answers requests with equal bytes: those that wait for one batch share one rendered response."""

    def __init__(self, scope: Scope, read: Read, added_headers: MiddlewareHeaders) -> None:
        self._read = read
        self._added_headers = added_headers
        self._accept_encoding = _header(scope, b"accept-encoding")
        self._conditions = _conditions(scope)
        self._labels = labels.from_headers(scope["headers"])
        self._future: asyncio.Future[Step] | None = None
        self._waiting: list[DeferredResponse] = []

    def answer(self, channel: Channel) -> bool:
        self.respond(channel.defer())
        return True

    def respond(self, deferred: DeferredResponse) -> None:
        """Respond to a request, later."""
        future = _current_batches().first_step(self._read)
        if future is not self._future:
            self._future, self._waiting = future, []
            future.add_done_callback(partial(self._continue, self._waiting))
        self._waiting.append(deferred)

    def _continue(self, waiting: list[DeferredResponse], future: "asyncio.Future[Step]") -> None:
        if self._future is future:
            self._future, self._waiting = None, []
        step = _result(self._read, future)
        if isinstance(step, NextStep):
            _current_batches().next_step(step).add_done_callback(partial(self._continue, waiting))
            return
        if step is None:
            for deferred in waiting:
                deferred.fall_back()
            return
        if step.environment_id is not None:
            meter.count_equal(step.resource, step.environment_id, self._labels, len(waiting))
        step.count(len(waiting))
        refetch_rate.add(len(waiting))
        head, body = step.render_http_for(self._accept_encoding, self._added_headers, self._conditions)
        for deferred in waiting:
            deferred.reply(head, body)


def shortcut(scope: Scope) -> Answerer | None:
    """The read path for ``realtime.http.shortcuts``: answers on the client's connection, without ASGI."""
    read = parse_read(scope)
    if read is None:
        return None
    added_headers = middleware_headers(scope)
    return EqualRequests(scope, read, added_headers).answer if added_headers is not None else None


def post_shortcut(scope: Scope, body: bytes, deferred: DeferredResponse) -> bool:
    """The read path for POSTs of ``identities/``, for ``realtime.http.shortcuts``."""
    read = parse_post(scope, body)
    added_headers = middleware_headers(scope) if read is not None else None
    if read is None or added_headers is None:
        return False
    EqualRequests(scope, read, added_headers).respond(deferred)
    return True


async def close() -> None:
    """End the threads of the current event loop."""
    global _latest
    _latest = None
    batches = _batches.pop(asyncio.get_running_loop(), None)
    if batches is not None:
        await batches.close()


def parse_read(scope: Message) -> Read | None:
    """The read that a plain GET asks for. None: Django has to answer the request."""
    resource = RESOURCES.get(scope["path"])
    if resource is None or scope["method"] != "GET":
        return None
    if any(name in BODY_REQUEST_HEADERS for name, _ in scope["headers"]):
        return None
    key = _header(scope, b"x-environment-key").strip()
    if not key or (resource is Resource.ENVIRONMENT_DOCUMENT and not key.startswith(SERVER_PREFIX)):
        return None
    if resource is not Resource.IDENTITIES:
        return None if scope["query_string"] else Read(resource, key)
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
    return Read(resource, key, identifier)


def parse_post(scope: Message, encoded: bytes) -> Read | None:
    """The identity and traits of a plain POST. None: Django has to answer the request."""
    if RESOURCES.get(scope["path"]) is not Resource.IDENTITIES or scope["query_string"]:
        return None
    if _header(scope, b"content-type") not in JSON_TYPES or _header(scope, b"content-encoding"):
        return None
    key = _header(scope, b"x-environment-key").strip()
    body = identity_bodies.parse(encoded) if key else None
    return None if body is None else Read(Resource.IDENTITIES, key, body.identifier, body)


def _current_batches() -> ReadBatches:
    """The batches of the running event loop."""
    global _latest
    loop = asyncio.get_running_loop()
    if _latest is None or _latest[0] is not loop:
        if loop not in _batches:
            _batches[loop] = ReadBatches()
        _latest = loop, _batches[loop]
    return _latest[1]


async def _response(read: Read) -> ReadyResponse | None:
    batches = _current_batches()
    future = batches.first_step(read)
    while True:
        # ``await future`` would cancel it with this request, and other requests share it.
        await asyncio.wait([future])
        step = _result(read, future)
        if not isinstance(step, NextStep):
            return step
        future = batches.next_step(step)


def _result(read: Read, future: "asyncio.Future[Step]") -> Step:
    """The result of a batch. Its failures are already logged."""
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, DATABASE_ERRORS):
        return _error_response(read.resource, None, error)
    # In Django the same failure occurs, and gets the usual response.
    return None


def _error_response(resource: Resource, environment_id: int | None, error: Exception) -> ReadyResponse:
    failure = Failure.of(error)
    response = ErrorResponse(failure.status, json.dumps(failure.data).encode(), failure.headers)
    return ReadyResponse(resource, environment_id, response)


def find_responses(reads: list[Read]) -> dict[Read, Step]:
    """The cached responses of these reads, or the keys of those to build. Invalid keys are left out."""
    return {read: _find(read.resource, client) for read, client in _with_clients(reads)}


def _find(resource: Resource, client: SDKClient) -> Step:
    is_document = resource is Resource.ENVIRONMENT_DOCUMENT
    key = ResponseKey.for_document(client) if is_document else ResponseKey.for_flags(client)
    cached = cached_responses.find(key)
    return key if cached is None else ReadyResponse.from_cache(resource, client.environment_id, cached)


def build_responses(keys: list[ResponseKey]) -> dict[ResponseKey, Step]:
    return {key: _build(key) for key in keys}


def _build(key: ResponseKey) -> Step:
    resource = Resource.ENVIRONMENT_DOCUMENT if key.is_document else Resource.FLAGS
    isolated = IsolatedWork(key.version, key.organisation_id, resource, key, key.work)
    result = _run_unless_expensive(isolated, isolation.CHEAP_SECONDS)
    if not isinstance(result, WorkResult):
        return result
    return ReadyResponse.from_cache(resource, key.version.environment_id, cached_responses.add(key, result))


def evaluate_identities(reads: list[Read]) -> dict[Read, Step]:
    """The responses of these reads of ``identities/``.

    Invalid keys are left out, and so are identities that have to be stored or that have a trait to be stored.
    """
    reads_with_clients = list(_with_clients(reads))
    stored = _read_identities(reads_with_clients)
    steps: dict[Read, Step] = {}
    deadline = time.monotonic() + BATCH_EVALUATION_SECONDS
    for read, client in reads_with_clients:
        identity = _requested_identity(read, client, stored[client.environment_id, read.identifier])
        if identity is None:
            continue
        # The first one is evaluated in any case, so each batch makes progress.
        is_late = bool(steps) and time.monotonic() > deadline
        steps[read] = Postponed(read) if is_late else _evaluate(client, identity)
    return steps


def _requested_identity(read: Read, client: SDKClient, stored: RequestIdentity) -> RequestIdentity | None:
    """The identity that the read is for. None: it or its traits have to be stored."""
    if read.body is None:
        return None if stored.id is None else stored
    traits, transient = read.body.traits if client.may_set_traits else [], read.body.transient
    if stored.traits_to_store(traits, transient=transient, persist_traits=client.persist_trait_data) is not None:
        return None
    return stored.with_unstored(traits, transient=transient)


def _evaluate(client: SDKClient, identity: RequestIdentity) -> Step:
    work = partial(responses.identity, identity=identity, server_side=client.server_side)
    # A key of its own: traits can change without a new version, so no other read shares the response.
    isolated = IsolatedWork(client.version, client.organisation_id, Resource.IDENTITIES, object(), work)
    result = _run_unless_expensive(isolated, isolation.CHEAP_IDENTITY_SECONDS)
    if not isinstance(result, WorkResult):
        return result
    return ReadyResponse(Resource.IDENTITIES, client.environment_id, result.value)


def _run_unless_expensive(
    isolated: IsolatedWork, cheap_seconds: float
) -> WorkResult[EncodedResponse] | IsolatedWork | None:
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
        identifiers[client.environment_id].add(read.identifier)
    return {
        (environment_id, identifier): identity
        for environment_id, in_environment in identifiers.items()
        for identifier, identity in identify.read(environment_id, in_environment).items()
    }


def _conditions(scope: Message) -> ConditionalHeaders:
    return ConditionalHeaders(_header(scope, b"if-none-match"), _header(scope, b"if-modified-since"))


def _header(scope: Message, name: bytes) -> str:
    """The header's value. Repeated headers are joined, as in Django."""
    return ",".join([value.decode("latin-1") for header, value in scope["headers"] if header == name])
