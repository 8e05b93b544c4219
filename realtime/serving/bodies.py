"""Limits request bodies before Django buffers them in memory and on disk, ahead of URL resolution."""

import asyncio
from collections.abc import Awaitable, Callable

from realtime.posted_versions.queue_change import MAX_BODY_BYTES, PATH
from realtime.types import Application, Message, Receive, Scope, Send

# How much of a body that is too large is read and discarded: a client that sends all of it before it reads the response
# would see a broken connection otherwise.
MAX_DISCARDED_BYTES = 1_048_576


def limited_posts(django: Application) -> Application:
    """ASGI middleware that passes on only the beginning of the bodies of ``queue-change``.

    It also removes slashes: if SSE_SERVER_BASE_URL ends with one, Flagsmith posts to a path with two.
    """

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "POST" and (match := PATH.fullmatch(scope["path"])):
            scope, receive = {**scope, "path": f"/{match[1]}"}, _beginning(receive)
        await django(scope, receive, send)

    return application


def without_bodies(django: Application) -> Application:
    """ASGI middleware that passes on only the bodies of ``queue-change``: no other view reads any."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        has_body = scope["method"] == "POST" and PATH.fullmatch(scope["path"]) is not None
        await django(scope, receive if has_body else _empty(receive), send)

    return application


def _beginning(receive: Receive) -> Callable[[], Awaitable[Message]]:
    """A ``receive`` that returns the body up to one byte over the limit, and ends it if the rest is too long."""
    length = 0

    async def next_message() -> Message:
        nonlocal length
        if length > MAX_DISCARDED_BYTES:
            # A rest of the body is unread, so the client's disconnect is never seen.
            await asyncio.Event().wait()
        message = await receive()
        if message["type"] != "http.request":
            return message
        body = message.get("body", b"")
        kept, length = body[: max(0, MAX_BODY_BYTES + 1 - length)], length + len(body)
        more = message.get("more_body", False) and length <= MAX_DISCARDED_BYTES
        return {**message, "body": kept, "more_body": more}

    return next_message


def _empty(receive: Receive) -> Receive:
    """A ``receive`` that returns an empty body, and then the client's disconnect."""
    buffered: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def next_message() -> Message:
        if buffered:
            return buffered.pop()
        while (message := await receive())["type"] != "http.disconnect":
            pass
        return message

    return next_message
