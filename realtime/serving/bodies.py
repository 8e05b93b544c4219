"""Discards request bodies that no view reads. Django would buffer them in memory and on disk before URL resolution."""

from realtime.posted_versions.intake import PATH
from realtime.types import Application, Message, Receive, Scope, Send


def without_bodies(django: Application) -> Application:
    """ASGI middleware that passes on only the bodies of ``queue-change``."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        has_body = scope["method"] == "POST" and PATH.fullmatch(scope["path"]) is not None
        await django(scope, receive if has_body else _empty(receive), send)

    return application


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
