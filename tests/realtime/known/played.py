"""A server that has one shortcut, and clients of it that send bytes."""

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

GET = b"GET /known HTTP/1.1\r\nhost: localhost\r\n\r\n"
OTHER = GET.replace(b"localhost", b"localhosT")

OK = b"HTTP/1.1 200 OK\r\n"


class Played:
    """A shortcut for ``/known``, which says how often it has looked at a request, and to which host that was."""

    def __init__(self) -> None:
        self.looked: list[Scope] = []
        self.held: list[DeferredResponse] = []
        self.size = 0
        """Of an answer's body, at least."""
        self.waits = False
        """Answers are given by the test."""
        self.says_who = False
        """Of an answer that is each client's own: the body is its port."""
        self.declines = False
        """The application is to answer."""

    def shortcut(self, scope: Scope) -> Answerer | None:
        if scope["query_string"]:
            return None
        self.looked.append(scope)
        host = dict(scope["headers"]).get(b"host", b"")
        number = len(self.looked)

        def answer(channel: Channel) -> bool:
            if self.declines:
                return False
            body = b"look %d at %b" % (number, host) + b"." * self.size
            if self.says_who:
                body = b"%d" % channel.full_scope()["client"][1]
            held = channel.defer()
            if self.waits:
                self.held.append(held)
            else:
                reply(held, body)
            return True

        return answer


def reply(held: DeferredResponse, body: bytes) -> None:
    held.reply(OK + b"content-length: %d\r\n" % len(body), body)


class Application:
    """Who answers everything else, with what it was asked."""

    def __init__(self) -> None:
        self.scopes: list[Scope] = []

    async def __call__(self, scope: Scope, receive: Callable[[], Any], send: Callable[[Any], Any]) -> None:
        self.scopes.append(scope)
        told = (await receive())["body"]
        body = b"application, %b, %b" % (scope["path"].encode(), told)
        headers = [(b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})


class Server:
    def __init__(self, played: Played, application: Application) -> None:
        self.played = played
        self.application = application
        self.state = ServerState()
        self.config = Config(application, http=ShortcutProtocol, ws="none", log_config=None)
        self.config.load()

    def protocol(self) -> ShortcutProtocol:
        return ShortcutProtocol(config=self.config, server_state=self.state, app_state={"of": "the server"})


async def held(server: Server, number: int = 1) -> list[DeferredResponse]:
    """What waits for its answer, as soon as it is so many."""
    await eventually(lambda: len(server.played.held) == number)
    return server.played.held


class Client:
    """A connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def ask(self, *pieces: bytes) -> bytes:
        """Send these, each by itself, and return the next answer's body."""
        await self.send(*pieces)
        return await self.answer()

    async def send(self, *pieces: bytes) -> None:
        for piece in pieces:
            self.writer.write(piece)
            # The server gets to read it alone.
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
