"""Bodies that nobody reads. Django would write all that comes to memory and disk before it looks at the path."""

from realtime.external.intake import PATH
from realtime.types import Application, Message, Receive, Scope, Send


def without_bodies(django: Application) -> Application:
    """The application, which gets the body of a ``queue-change`` and of nothing else."""

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        calls = scope["method"] == "POST" and PATH.fullmatch(scope["path"]) is not None
        await django(scope, receive if calls else _empty(receive), send)

    return application


def _empty(receive: Receive) -> Receive:
    """What receives an empty body, and then that the client has gone."""
    unread: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

    async def next_message() -> Message:
        if unread:
            return unread.pop()
        while (message := await receive())["type"] != "http.disconnect":
            pass
        return message

    return next_message
