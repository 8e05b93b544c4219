"""Sinks: write a stream's bytes to ASGI's ``send``, or directly to a server's transport (``http/transport.py``)."""

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from realtime.types import Message, Send, UpdatedAt

if TYPE_CHECKING:
    from realtime.delivery.stream import Stream

HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
    (b"access-control-allow-origin", b"*"),
]

CLOSE = (b"connection", b"close")

# The terminating chunk. It is always sent: one SDK never reconnects after a response that is cut off.
END: Message = {"type": "http.response.body", "body": b"", "more_body": False}


class Piece(NamedTuple):
    """Bytes written in one call, encoded once for all streams. Two SDKs lose an event that arrives in two parts."""

    body: bytes
    chunk: bytes
    """The body as a chunk of HTTP/1.1's chunked encoding."""
    updated_at: UpdatedAt | None
    """The version, if it is an event; None for a comment."""


def piece(body: bytes, updated_at: UpdatedAt | None = None) -> Piece:
    return Piece(body, b"%x\r\n%b\r\n" % (len(body), body), updated_at)


class Sink(Protocol):
    """The connection of one client. No method blocks or raises."""

    ready: bool
    """False while written bytes are buffered. More can be written, and is buffered too."""

    def open(self, source: "Stream", opening: Piece, closing: bool) -> None:
        """Write the response's head and its first chunk. ``closing``: with ``Connection: close``."""

    def write(self, piece: Piece) -> None: ...

    def end(self) -> None:
        """Write the terminating chunk after what is buffered, then call ``Stream.connection_lost``."""

    def abort(self) -> None:
        """Close the connection at once and drop what is buffered."""


class ASGISink:
    """A sink for any ASGI server. ``run`` writes, in the task of the ASGI application."""

    def __init__(self, send: Send) -> None:
        self.ready = True
        self._send = send
        self._messages: deque[Message] = deque()
        self._woken = asyncio.Event()
        self._over = False
        self._task: asyncio.Task[Any] | None = None
        self._source: Stream | None = None

    def open(self, source: "Stream", opening: Piece, closing: bool) -> None:
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
        """Write messages until the end is written or the sink is aborted."""
        self._task = asyncio.current_task()
        try:
            await self._write_all()
        except asyncio.CancelledError:
            # ``abort`` cancels this task, which is not an error. A cancellation by the server is raised again.
            if not self._over or self._task is None:
                raise
            self._task.uncancel()
        finally:
            self._task = None

    async def finish(self) -> None:
        """Write what is buffered and the end, unless the sink was aborted or the end is written already."""
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
