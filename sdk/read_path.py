"""What applications read all the time, answered ahead of Django: a herd that refetches costs a few queries.

A GET of ``flags/``, ``identities/`` or ``environment-document/`` with a good key, and without anything unusual, gets
the bytes that the view would give. Whoever asks at the same time shares one read of the database, which begins after
the request has come: nobody gets a state older than the one that was there when he asked. Everything else is Django's,
refusals among it, except that the database is away (503) and that an evaluation took too long (422).

Three threads keep cheap reads apart from longer ones: the first finds answers in the cache, the second makes those of
environments that have changed, the third evaluates identities. Expensive environments are left to another process
(``evaluation.isolation``).
"""

import asyncio
import json
import time
from collections import defaultdict
from collections.abc import Hashable, Iterator
from functools import partial
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
from core.surroundings import Surroundings, surroundings
from environments.identities.models import Identity
from environments.keys import SERVER_PREFIX
from environments.models import Environment
from evaluation import isolation
from evaluation.document import Version
from evaluation.isolation import Evaluated, Work
from realtime.batching import Batcher, DatabaseThread
from realtime.delivery.spread import refetch_rate
from realtime.http.shortcuts import Answerer, Channel, Held
from realtime.types import Application, Message, Receive, Scope, Send
from sdk import authentication, counts, identify, responses, views
from sdk.answers import KeptAnswer, Wanted, Written, kept
from sdk.authentication import SDKClient
from sdk.identify import Identified
from sdk.responses import Answer, Conditions, Refusal

logger = structlog.get_logger(__name__)

RESOURCES = {
    "/api/v1/flags/": Resource.FLAGS,
    "/api/v1/identities/": Resource.IDENTITIES,
    "/api/v1/environment-document/": Resource.ENVIRONMENT_DOCUMENT,
}


def _allowed(view: views.SDKView) -> str:
    view.setup(HttpRequest())
    return ", ".join(view.allowed_methods)


# Django REST framework says so in every answer.
ALLOWED = {view.resource: _allowed(view) for view in (views.FlagsView(), views.IdentitiesView(), views.DocumentView())}

MAX_IDENTIFIER = Identity._meta.get_field("identifier").max_length or 0


# Identities of one read: all that are in it wait for the last. Evaluations begin only within this many seconds.
MOST_IDENTITIES = 100
EVALUATING_SECONDS = 0.05

# Responses that are kept of one answer: clients choose headers, and so how many there could be.
MOST_WRITTEN = 32

# The database is away.
DATABASE_ERRORS = (OperationalError, InterfaceError)


class Question(NamedTuple):
    """All that the answer depends on, beside the database."""

    resource: Resource
    key: str
    identifier: str = ""


class Found:
    """An answer, and what it looks like to different clients: all who wait for it share that."""

    def __init__(
        self, resource: Resource, environment_id: int | None, answer: Answer | Refusal, written: Written | None = None
    ) -> None:
        self.resource = resource
        self.environment_id = environment_id
        """None: the database, which would have said whose the key is, is away."""
        self.answer = answer
        self._fresh_until = counts.fresh_until(answer.updated_at) if isinstance(answer, Answer) else None
        self._written: Written = {} if written is None else written

    @classmethod
    def of_kept(cls, resource: Resource, environment_id: int, kept: KeptAnswer) -> "Found":
        """With the responses that earlier reads have written, unless these depend on the time (``Validators``)."""
        return cls(resource, environment_id, kept.answer, kept.written if kept.answer.validators is None else None)

    def count(self, number: int = 1) -> None:
        """So many requests get it. In the event loop."""
        if self._fresh_until is not None:
            counts.answered(self.resource, self._fresh_until, number)

    def told_to(
        self, accept_encoding: str, around: Surroundings, conditions: Conditions
    ) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
        """The status, the body, and all headers."""
        answer = self.answer.under(conditions)
        body, own = answer.told_to(accept_encoding)
        headers = around.beside({"Allow": ALLOWED[self.resource], **own}, body)
        if answer.status == HTTPStatus.NOT_MODIFIED:
            headers = [header for header in headers if header[0] not in OF_A_BODY]
        return answer.status, body, headers

    def written_to(self, accept_encoding: str, around: Surroundings, conditions: Conditions) -> tuple[bytes, bytes]:
        """The same as HTTP/1.1: the head, and the body."""
        written = self._written.get((around, accept_encoding, conditions))
        if written is None:
            number, body, headers = self.told_to(accept_encoding, around, conditions)
            status = HTTPStatus(number)
            lines = [b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode())]
            lines += [b"%b: %b\r\n" % header for header in headers]
            if len(self._written) >= MOST_WRITTEN:
                self._written.clear()
            written = self._written[around, accept_encoding, conditions] = b"".join(lines), body
        return written


class Isolated(NamedTuple):
    """An answer that only the evaluation process may make."""

    version: Version
    organisation_id: int
    resource: Resource
    detail: Hashable
    """What tells it from others of this version and resource."""

    work: Work[Answer]


class Later(NamedTuple):
    """A question that had no time left in its read: the next one has it."""

    question: Question


Step = Found | Wanted | Isolated | Later | None
"""An answer, or what has to be done for it. None: it is Django's."""

# A GET that has one may have more: its body would have to be read first.
BODY = frozenset((b"content-length", b"transfer-encoding", b"expect"))

# Headers that an answer without a body (304) does not have.
OF_A_BODY = (b"content-length", b"content-type")


class Reads:
    """The reads of one event loop."""

    def __init__(self) -> None:
        self._threads = [DatabaseThread(name) for name in ("sdk-reader", "sdk-builder", "sdk-evaluator")]
        reader, builder, evaluator = self._threads
        self._kept = Batcher[Question, Step](reader, lambda questions: retried(partial(find_all, questions)))
        # One at a time, organisations in turn: each may take long.
        self._changed = Batcher[Wanted, Step](
            builder,
            lambda wanted: retried(partial(make_all, wanted)),
            min_interval=0,
            max_batch=1,
            group=lambda wanted: wanted.organisation_id,
        )
        self._identities = Batcher[Question, Step](
            evaluator,
            lambda questions: retried(partial(evaluate_all, questions)),
            max_batch=MOST_IDENTITIES,
            group=lambda question: question.key,
        )

    def submit(self, question: Question) -> "asyncio.Future[Step]":
        """The first step to the answer. Those who ask the same meanwhile share it: it is not to be cancelled."""
        reads = self._identities if question.resource is Resource.IDENTITIES else self._kept
        return reads.submit(question)

    def follow(self, step: Wanted | Isolated | Later) -> "asyncio.Future[Step]":
        """The next step."""
        if isinstance(step, Wanted):
            return self._changed.submit(step)
        if isinstance(step, Later):
            return self._identities.submit(step.question)
        return asyncio.ensure_future(self._isolated(step))

    async def close(self) -> None:
        await asyncio.gather(*(thread.close() for thread in self._threads))

    async def _isolated(self, step: Isolated) -> Step:
        key = (step.version, step.resource, step.detail)
        try:
            made = await asyncio.wrap_future(isolation.elsewhere(step.version, step.organisation_id, key, step.work))
        except APIException as error:
            return _refused(step.resource, step.version.environment_id, error)
        if isinstance(step.detail, Wanted):
            kept.keep(step.detail, made)
        return Found(step.resource, step.version.environment_id, made.value)


_reads: WeakKeyDictionary[asyncio.AbstractEventLoop, Reads] = WeakKeyDictionary()

# The loop that asked last, nearly always the only one, and its reads: every request looks for them.
_latest: tuple[asyncio.AbstractEventLoop, Reads] | None = None


def read_path(django: Application) -> Application:
    """The application that stands before Django."""

    async def application(scope: Message, receive: Receive, send: Send) -> None:
        question = asked(scope)
        around = surroundings(scope) if question is not None else None
        found = await _found(question) if question is not None and around is not None else None
        if found is None or around is None or question is None:
            if question is not None:
                counts.LEFT[question.resource].add()
            await django(scope, receive, send)
            return
        if found.environment_id is not None:
            meter.count(question.resource, found.environment_id, scope["headers"])
        found.count()
        status, body, headers = found.told_to(_header(scope, b"accept-encoding"), around, _conditions(scope))
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    return application


class Herd:
    """Equal requests: those that wait for the same read are answered together, on their connections themselves."""

    def __init__(self, scope: Scope, question: Question, around: Surroundings) -> None:
        self._question = question
        self._around = around
        self._accept_encoding = _header(scope, b"accept-encoding")
        self._conditions = _conditions(scope)
        self._labels = labels.of(scope["headers"])
        self._future: asyncio.Future[Step] | None = None
        self._waiting: list[Held] = []

    def submit(self, channel: Channel) -> bool:
        future = _shared().submit(self._question)
        if future is not self._future:
            self._future, self._waiting = future, []
            future.add_done_callback(partial(self._answer, self._waiting))
        self._waiting.append(channel.hold())
        return True

    def _answer(self, waiting: list[Held], future: "asyncio.Future[Step]") -> None:
        if self._future is future:
            self._future, self._waiting = None, []
        found = _step(self._question, future)
        if isinstance(found, Wanted | Isolated | Later):
            _shared().follow(found).add_done_callback(partial(self._answer, waiting))
            return
        if found is None:
            for held in waiting:
                held.give_back()
            return
        if found.environment_id is not None:
            meter.count_equal(found.resource, found.environment_id, self._labels, len(waiting))
        found.count(len(waiting))
        refetch_rate.add(len(waiting))
        head, body = found.written_to(self._accept_encoding, self._around, self._conditions)
        for held in waiting:
            held.reply(head, body)


def shortcut(scope: Scope) -> Answerer | None:
    """The same on the client's connection itself."""
    question = asked(scope)
    around = surroundings(scope) if question is not None else None
    return Herd(scope, question, around).ask if question is not None and around is not None else None


async def close() -> None:
    """Let the event loop's threads end."""
    global _latest
    _latest = None
    reads = _reads.pop(asyncio.get_running_loop(), None)
    if reads is not None:
        await reads.close()


def asked(scope: Message) -> Question | None:
    """What an ordinary request asks for. None: it is not one."""
    resource = RESOURCES.get(scope["path"])
    if resource is None or scope["method"] != "GET":
        return None
    if any(name in BODY for name, _ in scope["headers"]):
        return None
    key = _header(scope, b"x-environment-key").strip()
    if not key or (resource is Resource.ENVIRONMENT_DOCUMENT and not key.startswith(SERVER_PREFIX)):
        return None
    if resource is not Resource.IDENTITIES:
        return None if scope["query_string"] else Question(resource, key)
    try:
        query = parse_qsl(scope["query_string"].decode("ascii"), keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        return None
    if len(query) != 1 or query[0][0] != "identifier":
        return None
    identifier = query[0][1]
    # The serializer strips, and says what is wrong.
    if not 0 < len(identifier) <= MAX_IDENTIFIER or identifier != identifier.strip() or "\0" in identifier:
        return None
    return Question(resource, key, identifier)


def _shared() -> Reads:
    """The event loop's."""
    global _latest
    loop = asyncio.get_running_loop()
    if _latest is None or _latest[0] is not loop:
        if loop not in _reads:
            _reads[loop] = Reads()
        _latest = loop, _reads[loop]
    return _latest[1]


async def _found(question: Question) -> Found | None:
    reads = _shared()
    future = reads.submit(question)
    while True:
        # Others wait for it too, so it is not to be cancelled with this request.
        await asyncio.wait([future])
        step = _step(question, future)
        if not isinstance(step, Wanted | Isolated | Later):
            return step
        future = reads.follow(step)


def _step(question: Question, future: "asyncio.Future[Step]") -> Step:
    """What a read has come to. Where it has failed, that has been logged."""
    error = future.exception()
    if error is None:
        return future.result()
    if isinstance(error, DATABASE_ERRORS):
        return _refused(question.resource, None, error)
    # Django meets it again, and says so as everywhere.
    return None


def _refused(resource: Resource, environment_id: int | None, error: Exception) -> Found:
    failure = Failure.of(error)
    refusal = Refusal(failure.status, json.dumps(failure.data).encode(), failure.headers)
    return Found(resource, environment_id, refusal)


def find_all(questions: list[Question]) -> dict[Question, Step]:
    """The answers to these questions that are kept, and what has to be made for the others.

    What is refused is left out.
    """
    return {question: _find(question.resource, client) for question, client in _served(questions)}


def _find(resource: Resource, client: SDKClient) -> Step:
    wanted = Wanted.document(client) if resource is Resource.ENVIRONMENT_DOCUMENT else Wanted.flags(client)
    found = kept.find(wanted)
    return wanted if found is None else Found.of_kept(resource, client.environment_id, found)


def make_all(wanted: list[Wanted]) -> dict[Wanted, Step]:
    """These answers."""
    return {each: _make(each) for each in wanted}


def _make(wanted: Wanted) -> Step:
    resource = Resource.ENVIRONMENT_DOCUMENT if wanted.is_document else Resource.FLAGS
    isolated = Isolated(wanted.version, wanted.organisation_id, resource, wanted, wanted.work)
    made = _evaluated(isolated, isolation.CHEAP_SECONDS)
    if not isinstance(made, Evaluated):
        return made
    return Found.of_kept(resource, wanted.version.environment_id, kept.keep(wanted, made))


def evaluate_all(questions: list[Question]) -> dict[Question, Step]:
    """The answers to these questions for identities. What is refused, and who has to be stored, is left out."""
    served = list(_served(questions))
    identities = _identities(served)
    steps: dict[Question, Step] = {}
    until = time.monotonic() + EVALUATING_SECONDS
    for question, client in served:
        identified = identities[client.environment_id, question.identifier]
        if identified.id is None:
            continue
        # The first one has its time in any case.
        is_late = bool(steps) and time.monotonic() > until
        steps[question] = Later(question) if is_late else _evaluate(client, identified)
    return steps


def _evaluate(client: SDKClient, identified: Identified) -> Step:
    work = partial(responses.identity, identified=identified, server=client.server)
    # Its traits may differ from those that another one of this version has read.
    isolated = Isolated(client.version, client.organisation_id, Resource.IDENTITIES, object(), work)
    made = _evaluated(isolated, isolation.CHEAP_IDENTITY_SECONDS)
    if not isinstance(made, Evaluated):
        return made
    return Found(Resource.IDENTITIES, client.environment_id, made.value)


def _evaluated(isolated: Isolated, cheap: float) -> Evaluated[Answer] | Isolated | None:
    """Made by this thread, unless it is expensive. A failure is one environment's: the others are answered."""
    try:
        return isolation.here(isolated.version, isolated.work, cheap)
    except isolation.Expensive:
        return isolated
    except Environment.DoesNotExist:
        return None
    except DATABASE_ERRORS:
        raise
    except Exception as error:
        # Django meets it again, and logs it whole.
        logger.warning("read_failed", environment=isolated.version.environment_id, error=repr(error))
        return None


def _served(questions: list[Question]) -> Iterator[tuple[Question, SDKClient]]:
    clients = authentication.clients({question.key for question in questions})
    for question in questions:
        client = clients.get(question.key)
        if client is not None and not client.stopped:
            yield question, client


def _identities(served: list[tuple[Question, SDKClient]]) -> dict[tuple[int, str], Identified]:
    wanted: dict[int, set[str]] = defaultdict(set)
    for question, client in served:
        wanted[client.environment_id].add(question.identifier)
    return {
        (environment_id, identifier): identified
        for environment_id, identifiers in wanted.items()
        for identifier, identified in identify.read(environment_id, identifiers).items()
    }


def _conditions(scope: Message) -> Conditions:
    return Conditions(_header(scope, b"if-none-match"), _header(scope, b"if-modified-since"))


def _header(scope: Message, name: bytes) -> str:
    """As Django reads it: several are joined."""
    return ",".join([value.decode("latin-1") for header, value in scope["headers"] if header == name])
