"""``queue-change`` ahead of Django: whoever calls at the same time shares one transaction (see ``queue_change.py``).

An ordinary call that is right is taken here, everything else is Django's to refuse. One transaction is under way at a
time; calls that come meanwhile share the next. Each is answered when its own is committed.
"""

import asyncio
import json
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Protocol
from weakref import WeakKeyDictionary

from realtime.batching import Batcher, DatabaseThread
from realtime.conf import conf
from realtime.external import queue_change
from realtime.external.queue_change import MAX_BODY_BYTES, Change, RefusalError
from realtime.http.shortcuts import Held
from realtime.types import Application, Message, Receive, Scope, Send

# As all paths of this kind look to the project.
ANY = "/sse/environments/any/queue-change"
PATH = re.compile(r"/sse/environments/([^/]+)/queue-change")

# What is read of a body that is too large, and thrown away: a client that sends all of it before it reads an answer
# would see a broken connection otherwise.
UNREAD_BYTES = 1_048_576

# Two transactions begin at least so far apart. One costs 0.6 ms, as much as six calls, so they take an eighth of a core
# at most. A single publisher, who waits for each answer, waits for none of it.
GATHER_SECONDS = 0.005

TAKEN = 202, b"{}"
NOT_TAKEN = 503, json.dumps(queue_change.UNAVAILABLE).encode()
LINES = {202: b"HTTP/1.1 202 Accepted\r\n", 503: b"HTTP/1.1 503 Service Unavailable\r\n"}


class Surroundings(Protocol):
    """What the project adds to its answers to one kind of request."""

    def __hash__(self) -> int: ...

    def beside(self, headers: dict[str, str], body: bytes) -> list[tuple[bytes, bytes]]:
        """All headers of an answer with this body that has these headers itself, for ASGI."""


class Plain:
    """Nothing but what HTTP needs."""

    def beside(self, headers: dict[str, str], body: bytes) -> list[tuple[bytes, bytes]]:
        told = {"x-content-type-options": "nosniff", **headers, "content-length": str(len(body))}
        return [(name.lower().encode("ascii"), value.encode("latin-1")) for name, value in told.items()]


PLAIN = Plain()


def plain(scope: Scope) -> Surroundings | None:
    return PLAIN


class Intake:
    """The way in. ``surroundings`` says what the project adds to an answer; None: this request is Django's.

    It gets the request's scope, but with one path for all environments, so that it can remember.
    """

    def __init__(self, surroundings: Callable[[Scope], Surroundings | None] = plain) -> None:
        self._surroundings = surroundings

    def ahead_of(self, django: Application) -> Application:
        """The application that stands before Django."""

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            if PATH.fullmatch(scope["path"]) is None or scope["method"] != "POST":
                await django(scope, receive, send)
                return
            body = await _body(receive)
            if body is None:
                return
            around = self._around(scope)
            change = said(scope, body) if around is not None else None
            if change is None or around is None:
                await django(scope, _again(body, receive), send)
                return
            future = _shared().submit(change)
            # Others wait for it too, so it is not to be cancelled with this request.
            await asyncio.wait([future])
            status, content = _answer(future)
            await send({"type": "http.response.start", "status": status, "headers": _headers(around, content)})
            await send({"type": "http.response.body", "body": content})

        return application

    def shortcut(self, scope: Scope, body: bytes, held: Held) -> bool:
        """The same on the client's connection itself."""
        around = self._around(scope)
        change = said(scope, body) if around is not None else None
        if change is None or around is None:
            return False

        def answer(future: "asyncio.Future[bool | None]") -> None:
            status, content = _answer(future)
            held.reply(_head(around, status, content), content)

        _shared().submit(change).add_done_callback(answer)
        return True

    def _around(self, scope: Scope) -> Surroundings | None:
        return self._surroundings({**scope, "path": ANY})


def said(scope: Scope, body: bytes) -> Change | None:
    """What an ordinary call says. None: it is not one, or wrong."""
    match = PATH.fullmatch(scope["path"])
    authorizations = [value for name, value in scope["headers"] if name == b"authorization"]
    if match is None or len(authorizations) != 1 or not conf.TOKENS:
        return None
    try:
        queue_change.authenticate(authorizations[0].decode("latin-1"))
        return queue_change.read(match[1], body)
    except RefusalError:
        return None


async def close() -> None:
    """Let the event loop's thread end, after what it has in hand."""
    thread, _ = _writes.pop(asyncio.get_running_loop(), (None, None))
    if thread is not None:
        await thread.close()


Writes = Batcher[Change, bool]

_writes: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[DatabaseThread, Writes]] = WeakKeyDictionary()


def _shared() -> Writes:
    """The event loop's."""
    loop = asyncio.get_running_loop()
    known = _writes.get(loop)
    if known is None:
        thread = DatabaseThread("realtime-intake")
        known = _writes[loop] = thread, Batcher(thread, queue_change.take, "changes_unwritable", GATHER_SECONDS)
    return known[1]


def _answer(future: "asyncio.Future[bool | None]") -> tuple[int, bytes]:
    return TAKEN if future.exception() is None else NOT_TAKEN


# Few origins and hosts are most of the requests.
@lru_cache(maxsize=64)
def _headers(around: Surroundings, body: bytes) -> list[tuple[bytes, bytes]]:
    return around.beside({"Content-Type": "application/json"}, body)


@lru_cache(maxsize=64)
def _head(around: Surroundings, status: int, body: bytes) -> bytes:
    return LINES[status] + b"".join([b"%b: %b\r\n" % header for header in _headers(around, body)])


async def _body(receive: Receive) -> bytes | None:
    """The request's body, or its beginning where it is too large. None: the client has gone."""
    body, length, more = b"", 0, True
    while more and length <= UNREAD_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        piece = message.get("body", b"")
        length += len(piece)
        body += piece[: MAX_BODY_BYTES + 1 - len(body)]
        more = message.get("more_body", False)
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """What receives the body as one message, and then that the client has gone: never, if the rest is not read."""
    unread: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        if unread:
            return unread.pop()
        if len(body) > MAX_BODY_BYTES:
            await asyncio.Event().wait()
        return await receive()

    return next_message
