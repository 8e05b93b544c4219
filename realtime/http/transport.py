"""A stream that writes straight to its connection's transport.

Through ASGI's ``send`` each stream keeps a task, a parser, a request and its scope, and each write of an event takes a
turn of the event loop. Servers other than ``manage.py serve`` do with that (``sinks.ASGISink``).
"""

import asyncio
from typing import Any
from weakref import WeakKeyDictionary

from realtime.delivery.sinks import CLOSE, HEADERS, Piece, Source

HEAD = b"".join(
    [
        b"HTTP/1.1 200 OK\r\n",
        *(b"%b: %b\r\n" % header for header in [*HEADERS, CLOSE]),
        b"transfer-encoding: chunked\r\n",
    ]
)
LAST_CHUNK = b"0\r\n\r\n"

# Seconds for which a stream's head waits for the first piece, which a shared read is about to bring: one write then,
# not two. A write is a third of what it costs to open a stream.
HEAD_SECONDS = 0.05


class Connection(asyncio.Protocol):
    """A connection that is nothing but a stream any more: a ``Sink``. It closes when the stream has ended.

    What the client still sends is not read: there is nothing left to ask for.
    """

    __slots__ = ("_opening", "_server", "_source", "_transport", "ready")

    def __init__(self, transport: asyncio.Transport, server: Any) -> None:
        self.ready = True
        self._transport = transport
        self._server = server
        self._source: Source | None = None
        self._opening: Piece | None = None
        transport.set_protocol(self)
        # Paused as soon as the kernel takes no more, ready when it has taken all: nothing piles up here. With what was
        # answered before it may be paused at once. Not 0, which is no more than nothing: TLS would pause for ever.
        transport.set_write_buffer_limits(high=1)
        server.connections.add(self)

    def open(self, source: Source, opening: Piece, closing: bool) -> None:
        self._source = source
        self._opening = opening
        _unopened(self._server).add(self)

    def write(self, piece: Piece) -> None:
        self._write(piece.chunk)

    def end(self) -> None:
        self._write(LAST_CHUNK)
        self._transport.close()

    def show_head(self) -> None:
        """Write the head now, unless it has been written."""
        if self._opening is not None:
            self._write(b"")

    def abort(self) -> None:
        self._transport.abort()

    def _write(self, data: bytes) -> None:
        # Between a reset and ``connection_lost``, uvloop raises.
        if not self._transport.is_closing():
            if self._opening is not None:
                data = _unopened(self._server).head(self._opening, data)
                self._opening = None
            self._transport.write(data)

    def shutdown(self) -> None:
        """Uvicorn stops, and has no patience left."""
        if self._source is not None:
            self._source.end()

    def eof_received(self) -> None:
        """The client sends no more. It may still read; as the transport closes now, the end goes out before."""
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


class Unopened:
    """Of one server: the connections whose heads wait, and what they begin with."""

    def __init__(self, headers: list[tuple[bytes, bytes]]) -> None:
        self.headers = headers
        self._waiting: list[Connection] = []
        self._joined: dict[bytes, tuple[bytes, bytes]] = {}

    def add(self, connection: Connection) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_later(HEAD_SECONDS, self._show)
        self._waiting.append(connection)

    def head(self, opening: Piece, data: bytes) -> bytes:
        """The head, the first chunk, and these bytes behind it: a herd gets the very same objects.

        Joined once for each opening, of which there are as many as kinds of clients have.
        """
        joined = self._joined.get(opening.chunk)
        if joined is None or joined[0] is not data:
            own = b"".join([b"%b: %b\r\n" % header for header in self.headers])
            joined = self._joined[opening.chunk] = (data, b"%b%b\r\n%b%b" % (HEAD, own, opening.chunk, data))
        return joined[1]

    def forget(self) -> None:
        self._joined.clear()

    def _show(self) -> None:
        waiting, self._waiting = self._waiting, []
        for connection in waiting:
            connection.show_head()


_all: WeakKeyDictionary[Any, Unopened] = WeakKeyDictionary()


def _unopened(server: Any) -> Unopened:
    # Uvicorn has a new list of headers for each second.
    unopened = _all.get(server)
    if unopened is None:
        unopened = _all[server] = Unopened(server.default_headers)
    if unopened.headers is not server.default_headers:
        unopened.headers = server.default_headers
        unopened.forget()
    return unopened
