"""Fast path for ``queue-change``: concurrent posts share one transaction (see ``queue_change.py``).

It handles valid posts ahead of Django and leaves all other requests to Django. One transaction runs at a time; posts
that arrive meanwhile share the next one. The response to a post is sent when its transaction has committed.
"""

import asyncio
import json
import re
from collections.abc import Callable
from functools import lru_cache
from weakref import WeakKeyDictionary

from realtime.batching import Batcher, DatabaseThread
from realtime.conf import conf
from realtime.http.added_headers import AddedHeaders, plain
from realtime.http.shortcuts import DeferredResponse
from realtime.posted_versions import queue_change
from realtime.posted_versions.queue_change import MAX_BODY_BYTES, InvalidPost, PostedVersion
from realtime.types import Application, Message, Receive, Scope, Send

# The path that the project's middleware is given for all environments, so that its headers can be cached.
ANY_PATH = "/sse/environments/any/queue-change"

# If SSE_SERVER_BASE_URL ends with a slash, Flagsmith posts to a path with two.
PATH = re.compile(r"/+(sse/environments/([^/]+)/queue-change)")

# How much of a body that is too large is read and discarded: a client that sends all of it before it reads the response
# would see a broken connection otherwise.
MAX_DISCARDED_BYTES = 1_048_576

# The minimum interval between the starts of two transactions. One costs 0.6 ms, as much as six posts, so transactions
# take an eighth of a core at most. A single publisher that waits for each response is not delayed.
MIN_INTERVAL_SECONDS = 0.005

# A post is answered before Flagsmith's own timeout of 2 s: with 503, after which Flagsmith's task processor retries.
TIMEOUT_SECONDS = 1.8

ACCEPTED = 202, b"{}"
NOT_STORED = 503, json.dumps(queue_change.UNAVAILABLE).encode()
STATUS_LINES = {202: b"HTTP/1.1 202 Accepted\r\n", 503: b"HTTP/1.1 503 Service Unavailable\r\n"}


class Intake:
    """The fast path, as ASGI middleware and as a shortcut.

    ``middleware_headers`` returns the headers that the project adds to the response to this scope, whose path is the
    same for all environments. None: Django has to respond.
    """

    def __init__(self, middleware_headers: Callable[[Scope], AddedHeaders | None] = plain) -> None:
        self._middleware_headers = middleware_headers

    def with_posts(self, django: Application) -> Application:
        """ASGI middleware in front of Django."""

        async def application(scope: Scope, receive: Receive, send: Send) -> None:
            match = PATH.fullmatch(scope["path"])
            if match is None or scope["method"] != "POST":
                await django(scope, receive, send)
                return
            scope = {**scope, "path": f"/{match[1]}"}
            body = await _body(receive)
            if body is None:
                return
            added = self._added_headers(scope)
            posted = parse(scope, body) if added is not None else None
            if posted is None or added is None:
                await django(scope, _replaying(body, receive), send)
                return
            future = _shared().submit(posted)
            # Other requests share the future, so the cancellation of this one must not cancel it.
            await asyncio.wait([future])
            status, content = _result(future)
            await send({"type": "http.response.start", "status": status, "headers": _headers(added, content)})
            await send({"type": "http.response.body", "body": content})

        return application

    def shortcut(self, scope: Scope, body: bytes, deferred: DeferredResponse) -> bool:
        """The fast path on the client's connection."""
        added = self._added_headers(scope)
        posted = parse(scope, body) if added is not None else None
        if posted is None or added is None:
            return False

        def reply(future: "asyncio.Future[bool | None]") -> None:
            status, content = _result(future)
            deferred.reply(_head(added, status, content), content)

        _shared().submit(posted).add_done_callback(reply)
        return True

    def _added_headers(self, scope: Scope) -> AddedHeaders | None:
        return self._middleware_headers({**scope, "path": ANY_PATH})


def parse(scope: Scope, body: bytes) -> PostedVersion | None:
    """The version in a post. None: the request is invalid, or another one."""
    match = PATH.fullmatch(scope["path"])
    authorizations = [value for name, value in scope["headers"] if name == b"authorization"]
    if match is None or len(authorizations) != 1 or not conf.TOKENS:
        return None
    try:
        queue_change.authenticate(authorizations[0].decode("latin-1"))
        return queue_change.read(match[2], body)
    except InvalidPost:
        return None


async def close() -> None:
    """Stop the event loop's writing thread after its current transactions."""
    thread, _ = _writes.pop(asyncio.get_running_loop(), (None, None))
    if thread is not None:
        await thread.close()


Writes = Batcher[PostedVersion, bool]

_writes: WeakKeyDictionary[asyncio.AbstractEventLoop, tuple[DatabaseThread, Writes]] = WeakKeyDictionary()


def _shared() -> Writes:
    """The event loop's writing thread, with its queue."""
    loop = asyncio.get_running_loop()
    pair = _writes.get(loop)
    if pair is None:
        thread = DatabaseThread("realtime-intake")
        pair = _writes[loop] = (
            thread,
            Batcher(thread, queue_change.store, "changes_unwritable", MIN_INTERVAL_SECONDS, timeout=TIMEOUT_SECONDS),
        )
    return pair[1]


def _result(future: "asyncio.Future[bool | None]") -> tuple[int, bytes]:
    return ACCEPTED if future.exception() is None else NOT_STORED


# Most requests come from few origins to few hosts.
@lru_cache(maxsize=64)
def _headers(added: AddedHeaders, body: bytes) -> list[tuple[bytes, bytes]]:
    return added.merge({"Content-Type": "application/json"}, body)


@lru_cache(maxsize=64)
def _head(added: AddedHeaders, status: int, body: bytes) -> bytes:
    return STATUS_LINES[status] + b"".join([b"%b: %b\r\n" % header for header in _headers(added, body)])


async def _body(receive: Receive) -> bytes | None:
    """The request's body, or the beginning of one that is too large. None: the client has disconnected."""
    body, length, more = b"", 0, True
    while more and length <= MAX_DISCARDED_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        part = message.get("body", b"")
        length += len(part)
        body += part[: MAX_BODY_BYTES + 1 - len(body)]
        more = message.get("more_body", False)
    return body


def _replaying(body: bytes, receive: Receive) -> Receive:
    """A ``receive`` that returns the body as one message, and then the disconnect: never, if a rest of it is unread."""
    buffered: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]

    async def next_message() -> Message:
        if buffered:
            return buffered.pop()
        if len(body) > MAX_BODY_BYTES:
            await asyncio.Event().wait()
        return await receive()

    return next_message
