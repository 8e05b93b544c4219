"""A stream that writes straight to its connection's transport.

Through ASGI's ``send`` each stream keeps a task, a parser, a request and its scope, and each write of an event takes a
turn of the event loop. Servers other than ``manage.py serve`` do with that (``sinks.ASGISink``).
"""

import asyncio
from typing import Any

from realtime.sinks import CLOSE, HEADERS, Piece, Source

HEAD = b"".join(
    [
        b"HTTP/1.1 200 OK\r\n",
        *(b"%b: %b\r\n" % header for header in [*HEADERS, CLOSE]),
        b"transfer-encoding: chunked\r\n",
    ]
)
LAST_CHUNK = b"0\r\n\r\n"


class Connection(asyncio.Protocol):
    """A connection that is nothing but a stream any more: a ``Sink``. It closes when the stream has ended.

    What the client still sends is not read: there is nothing left to ask for.
    """

    __slots__ = ("_server", "_source", "_transport", "ready")

    def __init__(self, transport: asyncio.Transport, server: Any) -> None:
        self.ready = True
        self._transport = transport
        self._server = server
        self._source: Source | None = None
        transport.set_protocol(self)
        # Paused as soon as the kernel takes no more, ready when it has taken all: nothing piles up here. With what was
        # answered before it may be paused at once. Not 0, which is no more than nothing: TLS would pause for ever.
        transport.set_write_buffer_limits(high=1)
        server.connections.add(self)

    def open(self, source: Source, opening: Piece, closing: bool) -> None:
        self._source = source
        date = b"".join([b"%b: %b\r\n" % header for header in self._server.default_headers])
        self._write(b"%b%b\r\n%b" % (HEAD, date, opening.chunk))

    def write(self, piece: Piece) -> None:
        self._write(piece.chunk)

    def end(self) -> None:
        self._write(LAST_CHUNK)
        self._transport.close()

    def abort(self) -> None:
        self._transport.abort()

    def _write(self, data: bytes) -> None:
        # Between a reset and ``connection_lost``, uvloop raises.
        if not self._transport.is_closing():
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
            self._source.lost()
            self._source = None
