"""What applications read all the time, answered ahead of Django: a herd that refetches costs a few queries.

A GET of ``flags/``, ``identities/`` or ``environment-document/`` with a good key, and without anything unusual, gets
the bytes that the view would give. Whoever asks at the same time shares one read of the database, which begins after
the request has come: nobody gets a state older than the one that was there when he asked. Everything else, errors
among it, is Django's.
"""

import asyncio
import time
from collections import defaultdict
from collections.abc import Iterator
from functools import partial
from typing import NamedTuple
from urllib.parse import parse_qsl
from weakref import WeakKeyDictionary

from django.http import HttpRequest

from app_analytics import labels, meter
from app_analytics.models import Resource
from core.surroundings import Surroundings, surroundings
from environments.cache import documents
from environments.identities.models import Identity
from environments.keys import SERVER_PREFIX
from environments.models import Environment
from environments.sdk import authentication, counts, identify, responses, views
from environments.sdk.authentication import SDKClient
from environments.sdk.identify import Identified
from environments.sdk.responses import Answer, Conditions
from realtime.herds import refetches
from realtime.http.asgi import Application, Message, Receive, Send
from realtime.http.shortcuts import Answerer, Channel, Held, Scope
from realtime.reading import ReadingThread, SharedReads

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


# Seconds that one read spends on identities. All tenants wait for it, and one whose segments' patterns take as long as
# they may (environments/patterns.py) needs a quarter of a second for each. Who is left over gets a thread of Django's.
EVALUATING_SECONDS = 0.5


class Question(NamedTuple):
    """All that the answer depends on, beside the database."""

    resource: Resource
    key: str
    identifier: str = ""


class Found:
    """An answer, and what it looks like to different clients: all who wait for it share that."""

    def __init__(self, resource: Resource, environment_id: int, answer: Answer) -> None:
        self.resource = resource
        self.environment_id = environment_id
        self.answer = answer
        self.fresh_until = counts.fresh_until(answer.updated_at)
        self._written: dict[tuple[Surroundings, str, Conditions], tuple[bytes, bytes]] = {}

    def told_to(
        self, accept_encoding: str, around: Surroundings, conditions: Conditions
    ) -> tuple[int, bytes, list[tuple[bytes, bytes]]]:
        """The status, the body, and all headers."""
        answer = self.answer.under(conditions)
        body, own = answer.told_to(accept_encoding)
        headers = around.beside({"Allow": ALLOWED[self.resource], **own}, body)
        if answer.status == responses.NOT_MODIFIED:
            headers = [header for header in headers if header[0] not in OF_A_BODY]
        return answer.status, body, headers

    def written_to(self, accept_encoding: str, around: Surroundings, conditions: Conditions) -> tuple[bytes, bytes]:
        """The same as HTTP/1.1: the head, and the body."""
        written = self._written.get((around, accept_encoding, conditions))
        if written is None:
            status, body, headers = self.told_to(accept_encoding, around, conditions)
            lines = [b"%b: %b\r\n" % header for header in headers]
            written = STATUS[status] + b"".join(lines), body
            self._written[around, accept_encoding, conditions] = written
        return written


# A GET that has one may have more: its body would have to be read first.
BODY = frozenset((b"content-length", b"transfer-encoding", b"expect"))

STATUS = {200: b"HTTP/1.1 200 OK\r\n", responses.NOT_MODIFIED: b"HTTP/1.1 304 Not Modified\r\n"}

OF_A_BODY = (b"content-length", b"content-type")

Reads = SharedReads[Question, Found]

_reads: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[ReadingThread, Reads]] = WeakKeyDictionary()

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
        meter.count(question.resource, found.environment_id, scope["headers"])
        counts.answered(found.resource, found.fresh_until)
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
        self._future: asyncio.Future[Found | None] | None = None
        self._waiting: list[Held] = []

    def ask(self, channel: Channel) -> bool:
        future = _shared().ask(self._question)
        if future is not self._future:
            self._future, self._waiting = future, []
            future.add_done_callback(partial(self._answer, self._waiting))
        self._waiting.append(channel.hold())
        return True

    def _answer(self, waiting: list[Held], future: "asyncio.Future[Found | None]") -> None:
        if self._future is future:
            self._future, self._waiting = None, []
        found = future.result() if future.exception() is None else None
        if found is None:
            for held in waiting:
                held.give_back()
            return
        meter.count_equal(found.resource, found.environment_id, self._labels, len(waiting))
        counts.answered(found.resource, found.fresh_until, len(waiting))
        refetches.answered(len(waiting))
        head, body = found.written_to(self._accept_encoding, self._around, self._conditions)
        for held in waiting:
            held.reply(head, body)


def shortcut(scope: Scope) -> Answerer | None:
    """The same on the client's connection itself."""
    question = asked(scope)
    around = surroundings(scope) if question is not None else None
    return Herd(scope, question, around).ask if question is not None and around is not None else None


async def close() -> None:
    """Let the event loop's thread end."""
    global _latest
    _latest = None
    thread, _ = _reads.pop(asyncio.get_running_loop(), (None, None))
    if thread is not None:
        await thread.close()


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
            thread = ReadingThread("sdk-reader")
            _reads[loop] = thread, SharedReads(thread, answer_all)
        _latest = loop, _reads[loop][1]
    return _latest[1]


async def _found(question: Question) -> Found | None:
    future = _shared().ask(question)
    # Others wait for it too, so it is not to be cancelled with this request.
    await asyncio.wait([future])
    # A failure has been logged. Django meets it again, and says so as everywhere.
    return future.result() if future.exception() is None else None


def answer_all(questions: list[Question]) -> dict[Question, Found]:
    """The answers to these questions, in a few queries. What is refused, and who has to be stored, is left out."""
    clients = authentication.clients({question.key for question in questions})
    served = [
        (question, client)
        for question in questions
        if (client := clients.get(question.key)) is not None and not client.stopped
    ]
    return dict(_answers(served, _identities(served)))


def _identities(served: list[tuple[Question, SDKClient]]) -> dict[tuple[int, str], Identified]:
    wanted: dict[int, set[str]] = defaultdict(set)
    for question, client in served:
        if question.identifier:
            wanted[client.environment_id].add(question.identifier)
    return {
        (environment_id, identifier): identified
        for environment_id, identifiers in wanted.items()
        for identifier, identified in identify.read(environment_id, identifiers).items()
    }


def _answers(
    served: list[tuple[Question, SDKClient]], identities: dict[tuple[int, str], Identified]
) -> Iterator[tuple[Question, Found]]:
    began = time.monotonic()
    for question, client in served:
        # Documents and environments' flags are there already, identities have to be evaluated.
        if question.resource is Resource.IDENTITIES and time.monotonic() - began > EVALUATING_SECONDS:
            continue
        try:
            entry = documents.entry(client.version)
        except Environment.DoesNotExist:
            continue
        match question.resource:
            case Resource.FLAGS:
                answer = responses.flags(entry, client.server)
            case Resource.ENVIRONMENT_DOCUMENT:
                answer = responses.document(entry)
            case _:
                identified = identities[client.environment_id, question.identifier]
                if identified.id is None:
                    continue
                answer = responses.identity(entry, identified, client.server)
        yield question, Found(question.resource, client.environment_id, answer)


def _conditions(scope: Message) -> Conditions:
    return Conditions(_header(scope, b"if-none-match"), _header(scope, b"if-modified-since"))


def _header(scope: Message, name: bytes) -> str:
    """As Django reads it: several are joined."""
    return ",".join([value.decode("latin-1") for header, value in scope["headers"] if header == name])
