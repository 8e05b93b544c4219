"""A sink that writes a stream directly to its connection's transport.

With ASGI's ``send``, each stream keeps a task, a parser, a request and its scope in memory, and each write takes an
iteration of the event loop. Servers other than ``manage.py serve`` use that (``sinks.ASGISink``).
"""

import asyncio
from typing import Any

from realtime import runtime
from realtime.delivery.sinks import CLOSE, HEADERS, Piece
from realtime.delivery.stream import Stream

RESPONSE_HEAD = b"".join(
    [
        b"HTTP/1.1 200 OK\r\n",
        *(b"%b: %b\r\n" % header for header in [*HEADERS, CLOSE]),
        b"transfer-encoding: chunked\r\n",
    ]
)
LAST_CHUNK = b"0\r\n\r\n"

# How long the response's head waits for the first event, which a shared read is about to return: one write instead of
# two. A write is a third of the cost of opening a stream.
MAX_HEAD_DELAY_SECONDS = 0.05


class Connection(asyncio.Protocol):
    """The sink of a connection that has become a stream. It closes when the stream has ended.

    Further input of the client is ignored.
    """

    __slots__ = ("_opening", "_server", "_source", "_transport", "ready")

    def __init__(self, transport: asyncio.Transport, server: Any) -> None:
        self.ready = True
        self._transport = transport
        self._server = server
        self._source: Stream | None = None
        self._opening: Piece | None = None
        transport.set_protocol(self)
        # Pause when the kernel's buffer is full, and resume when everything is written, so that nothing is queued here.
        # The rest of an earlier response may pause it at once. Not 0: a TLS transport would pause for ever.
        transport.set_write_buffer_limits(high=1)
        server.connections.add(self)

    def open(self, source: Stream, opening: Piece, closing: bool) -> None:
        self._source = source
        self._opening = opening
        runtime.current().get(UnsentHeads).add(self)

    def write(self, piece: Piece) -> None:
        self._write(piece.chunk)

    def end(self) -> None:
        self._write(LAST_CHUNK)
        self._transport.close()

    def write_head(self) -> None:
        """Write the head, unless it has been written."""
        if self._opening is not None:
            self._write(b"")

    def abort(self) -> None:
        self._transport.abort()

    def _write(self, data: bytes) -> None:
        # Between a reset and ``connection_lost``, uvloop raises.
        if not self._transport.is_closing():
            if self._opening is not None:
                data = runtime.current().get(UnsentHeads).join(self._server.default_headers, self._opening, data)
                self._opening = None
            self._transport.write(data)

    def shutdown(self) -> None:
        """Called by uvicorn when it stops."""
        if self._source is not None:
            self._source.end()

    def eof_received(self) -> None:
        """The client has closed its sending side. It may still read: the stream's end is written before the close."""
        self.shutdown()

    def pause_writing(self) -> None:
        self.ready = False

    def resume_writing(self) -> None:
        self.ready = True
        if self._source is not None:
            self._source.drained()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        if self._source is not None:
            self._source.connection_lost()
            self._source = None


class UnsentHeads:
    """The connections whose response heads are not written yet."""

    def __init__(self) -> None:
        self._headers: list[tuple[bytes, bytes]] = []
        self._waiting: list[Connection] = []
        self._joined: dict[bytes, tuple[bytes, bytes]] = {}
        """By opening: the first event, and the head, opening and event as one."""

    def add(self, connection: Connection) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_later(MAX_HEAD_DELAY_SECONDS, self._write_waiting)
        self._waiting.append(connection)

    def join(self, headers: list[tuple[bytes, bytes]], opening: Piece, data: bytes) -> bytes:
        """The head, the opening chunk and the first event's bytes, as one object for all streams that connect.

        Joined once per opening; each kind of client has one. ``headers``: the server's, of which uvicorn makes a new
        list each second.
        """
        if self._headers is not headers:
            self._headers = headers
            self._joined.clear()
        joined = self._joined.get(opening.chunk)
        if joined is None or joined[0] is not data:
            own = b"".join([b"%b: %b\r\n" % header for header in headers])
            joined = self._joined[opening.chunk] = (data, b"%b%b\r\n%b%b" % (RESPONSE_HEAD, own, opening.chunk, data))
        return joined[1]

    def _write_waiting(self) -> None:
        waiting, self._waiting = self._waiting, []
        for connection in waiting:
            connection.write_head()
