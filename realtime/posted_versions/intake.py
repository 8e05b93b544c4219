"""The shortcut of ``queue-change`` (see ``queue_change.py``).

It answers valid posts on the client's connection and leaves all other requests to Django's view.
"""

import asyncio
import json
from collections.abc import Callable
from functools import lru_cache

from realtime.http.added_headers import AddedHeaders
from realtime.http.shortcuts import DeferredResponse, PostShortcut
from realtime.posted_versions import queue_change
from realtime.posted_versions.queue_change import InvalidPost, PostedVersion
from realtime.types import Scope

# The path that the project's middleware is given for all environments, so that its headers can be cached.
ANY_PATH = "/sse/environments/any/queue-change"

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

        queue_change.queue().submit(posted).add_done_callback(reply)
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


# Most requests come from few origins to few hosts.
@lru_cache(maxsize=64)
def _headers(added: AddedHeaders, body: bytes) -> bytes:
    merged = added.merge({"Content-Type": "application/json"}, body)
    return b"".join([b"%b: %b\r\n" % header for header in merged])
