"""Where a stream's bytes go: to ASGI's ``send``, or to a server's transport itself (``transport.py``)."""

import asyncio
from collections import deque
from typing import Any, NamedTuple, Protocol

from realtime.types import Message, Send, UpdatedAt

HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
    (b"access-control-allow-origin", b"*"),
]

CLOSE = (b"connection", b"close")

# The terminating chunk, sent whatever happened: a cut would lose the client for good.
END: Message = {"type": "http.response.body", "body": b"", "more_body": False}


class Piece(NamedTuple):
    """What is written at once, encoded once for all streams: two SDKs lose an event that is split."""

    body: bytes
    chunk: bytes
    """The body as a chunk of HTTP/1.1."""
    updated_at: UpdatedAt | None
    """The version that it tells; None: a comment."""


def piece(body: bytes, updated_at: UpdatedAt | None = None) -> Piece:
    return Piece(body, b"%x\r\n%b\r\n" % (len(body), body), updated_at)


class Source(Protocol):
    """Whose bytes a sink writes: a stream."""

    def drained(self) -> None:
        """The sink is ready again."""

    def end(self) -> None:
        """The server stops."""

    def lost(self) -> None:
        """The client has gone, or all has been written after ``Sink.end``."""


class Sink(Protocol):
    """One client. Nothing here waits or raises."""

    ready: bool
    """Nothing waits to be written. What is written all the same waits in the sink."""

    def open(self, source: Source, opening: Piece, closing: bool) -> None:
        """Write the response's head and its first chunk. ``closing``: say that the connection will be closed."""

    def write(self, piece: Piece) -> None: ...

    def end(self) -> None:
        """Write the terminating chunk, after what waits; then tell the source."""

    def abort(self) -> None:
        """Let the client go, whatever waits."""


class ASGISink:
    """A client of any ASGI server. ``run`` writes, in the task in which the server has called."""

    def __init__(self, send: Send) -> None:
        self.ready = True
        self._send = send
        self._messages: deque[Message] = deque()
        self._woken = asyncio.Event()
        self._over = False
        self._task: asyncio.Task[Any] | None = None
        self._source: Source | None = None

    def open(self, source: Source, opening: Piece, closing: bool) -> None:
        self._source = source
        headers = [*HEADERS, CLOSE] if closing else HEADERS
        self._put({"type": "http.response.start", "status": 200, "headers": headers})
        self.write(opening)

    def write(self, piece: Piece) -> None:
        self._put({"type": "http.response.body", "body": piece.body, "more_body": True})

    def end(self) -> None:
        self._put(END)

    def abort(self) -> None:
        self._over = True
        if self._task is not None:
            self._task.cancel()

    async def run(self) -> None:
        """Write what comes, until the end is written or the client is let go."""
        self._task = asyncio.current_task()
        try:
            await self._write_all()
        except asyncio.CancelledError:
            # By ourselves: the client has gone, or reads nothing. Not the server, which wants to know.
            if not self._over or self._task is None:
                raise
            self._task.uncancel()
        finally:
            self._task = None

    async def finish(self) -> None:
        """Write the end and what waits ahead of it, whatever has happened before."""
        self.end()
        await self._write_all()

    async def _write_all(self) -> None:
        while not self._over:
            while self._messages:
                message = self._messages.popleft()
                await self._send(message)
                if message is END:
                    self._over = True
                    return
            self.ready = True
            if self._source is not None:
                self._source.drained()
            if not self._messages:
                await self._woken.wait()
                self._woken.clear()

    def _put(self, message: Message) -> None:
        self.ready = False
        self._messages.append(message)
        self._woken.set()
