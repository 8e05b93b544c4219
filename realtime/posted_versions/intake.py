"""The shortcut of ``queue-change``: concurrent posts share one transaction (see ``queue_change.py``).

It answers valid posts on the client's connection and leaves all other requests to Django's view. One transaction runs
at a time; posts that arrive meanwhile share the next one. The response to a post is sent when its transaction has
committed.
"""

import asyncio
import json
from collections.abc import Callable
from functools import lru_cache

from realtime import runtime
from realtime.batching import Batcher, DatabaseThread
from realtime.http.added_headers import AddedHeaders
from realtime.http.shortcuts import DeferredResponse, PostShortcut
from realtime.posted_versions import queue_change
from realtime.posted_versions.queue_change import InvalidPost, PostedVersion
from realtime.types import Scope

# The path that the project's middleware is given for all environments, so that its headers can be cached.
ANY_PATH = "/sse/environments/any/queue-change"

# The minimum interval between the starts of two transactions. One costs 0.6 ms, as much as six posts, so transactions
# take an eighth of a core at most. A single publisher that waits for each response is not delayed.
MIN_INTERVAL_SECONDS = 0.005

# A post is answered before Flagsmith's own timeout of 2 s: with 503, after which Flagsmith's task processor retries.
TIMEOUT_SECONDS = 1.8

ACCEPTED = b"HTTP/1.1 202 Accepted\r\n", json.dumps(queue_change.ACCEPTED).encode()
NOT_STORED = b"HTTP/1.1 503 Service Unavailable\r\n", json.dumps(queue_change.UNAVAILABLE).encode()


def shortcut(middleware_headers: Callable[[Scope], AddedHeaders | None]) -> PostShortcut:
    """Make the shortcut.

    ``middleware_headers`` returns the headers that the project adds to the response to this scope, whose path is the
    same for all environments. None: Django has to respond.
    """

    def answer(scope: Scope, body: bytes, deferred: DeferredResponse) -> bool:
        added = middleware_headers({**scope, "path": ANY_PATH})
        posted = _read(scope, body)
        if posted is None or added is None:
            return False

        def reply(future: "asyncio.Future[bool | None]") -> None:
            status_line, content = ACCEPTED if future.exception() is None else NOT_STORED
            deferred.reply(status_line + _headers(added, content), content)

        runtime.current().get(_writes).submit(posted).add_done_callback(reply)
        return True

    return answer


def _read(scope: Scope, body: bytes) -> PostedVersion | None:
    """The version in a post. None: the request is invalid, or another one."""
    match = queue_change.PATH.fullmatch(scope["path"])
    authorizations = [value for name, value in scope["headers"] if name == b"authorization"]
    if match is None or len(authorizations) != 1:
        return None
    try:
        return queue_change.read(authorizations[0].decode("latin-1"), match[2], body)
    except InvalidPost:
        return None


def _writes() -> Batcher[PostedVersion, bool]:
    """Make the queue of posts with its writing thread."""
    thread = DatabaseThread("realtime-intake")
    return Batcher(thread, queue_change.store, "changes_unwritable", MIN_INTERVAL_SECONDS, timeout=TIMEOUT_SECONDS)


# Most requests come from few origins to few hosts.
@lru_cache(maxsize=64)
def _headers(added: AddedHeaders, body: bytes) -> bytes:
    merged = added.merge({"Content-Type": "application/json"}, body)
    return b"".join([b"%b: %b\r\n" % header for header in merged])
