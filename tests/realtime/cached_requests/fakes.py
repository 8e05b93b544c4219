"""A server with one shortcut, and clients that send bytes."""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn import Config
from uvicorn.server import ServerState

from realtime.http.protocol import ShortcutProtocol
from realtime.http.shortcuts import Answerer, Channel, DeferredResponse
from realtime.types import Scope
from tests.support.asgi import eventually
from tests.support.patience import PATIENCE

GET = b"GET /cached HTTP/1.1\r\nhost: localhost\r\n\r\n"
OTHER = GET.replace(b"localhost", b"localhosT")

OK = b"HTTP/1.1 200 OK\r\n"


class FakeShortcut:
    """A shortcut for ``/cached``. The response has the number of parsed requests, and the request's host."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []
        self.deferred: list[DeferredResponse] = []
        self.min_size = 0
        """The minimum size of a response body."""
        self.defers = False
        """Leave responses to the test (``deferred``)."""
        self.responds_with_port = False
        """Send the client's port as the response body."""
        self.declines = False
        """Decline requests, so that the application answers."""

    def find(self, scope: Scope) -> Answerer | None:
        if scope["query_string"]:
            return None
        self.scopes.append(scope)
        host = dict(scope["headers"]).get(b"host", b"")
        number = len(self.scopes)

        def answer(channel: Channel) -> bool:
            if self.declines:
                return False
            body = b"response %d for %b" % (number, host) + b"." * self.min_size
            if self.responds_with_port:
                body = b"%d" % channel.full_scope()["client"][1]
            response = channel.defer()
            if self.defers:
                self.deferred.append(response)
            else:
                reply(response, body)
            return True

        return answer


def reply(response: DeferredResponse, body: bytes) -> None:
    response.reply(OK + b"content-length: %d\r\n" % len(body), body)


class Application:
    """The ASGI application, which answers all other requests with their path and body."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        self.scopes.append(scope)
        request_body = b""
        while True:
            message = await receive()
            request_body += message.get("body", b"")
            if not message.get("more_body"):
                break
        body = b"application, %b, %b" % (scope["path"].encode(), request_body)
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Server:
    def __init__(self, shortcut: FakeShortcut, application: Application) -> None:
        self.shortcut = shortcut
        self.application = application
        self.state = ServerState()
        self.config = Config(application, http=ShortcutProtocol, ws="none", log_config=None)
        self.config.load()

    def protocol(self) -> ShortcutProtocol:
        return ShortcutProtocol(config=self.config, server_state=self.state, app_state={"of": "the server"})


async def deferred_responses(server: Server, number: int = 1) -> list[DeferredResponse]:
    """The deferred responses, once there are this many."""
    await eventually(lambda: len(server.shortcut.deferred) == number)
    return server.shortcut.deferred


class Client:
    """A client's connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def request(self, *pieces: bytes) -> bytes:
        """Send these bytes, each piece separately, and return the body of the next response."""
        await self.send(*pieces)
        return await self.answer()

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            # So that the server reads it separately.
            await asyncio.sleep(0.01)

    async def answer(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            head = await self.reader.readuntil(b"\r\n\r\n")
            assert head.startswith(OK), head
            length = next(line for line in head.split(b"\r\n") if line.startswith(b"content-length"))
            return await self.reader.readexactly(int(length.partition(b":")[2]))

    async def is_closed(self) -> bool:
        async with asyncio.timeout(PATIENCE):
            return await self.reader.read() == b""
