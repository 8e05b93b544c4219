"""Heads of requests, bounded: httptools, unlike other parsers of HTTP, takes as many headers as are sent."""

from asyncio import TimerHandle
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# Bytes of a request's line and headers; daphne and nginx take 32 KB and less. What comes first, in one reading, is not
# counted; it is at most 256 KB.
MAX_HEAD_BYTES = 65_536

# Seconds in which a head has to be there, from the connection's beginning or from its own.
HEAD_SECONDS = 30.0

REFUSALS = {
    408: b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    431: b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
}


class BoundedHeads(HttpToolsProtocol):
    """A connection whose heads may neither grow nor last for ever. One that does is told so, and closed."""

    _head_bytes = 0
    _timer: TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_is_there()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        under_way = self._timer is not None and self.headers is not None
        super().data_received(data)
        if under_way and self._timer is not None:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._head_is_there()
        super().on_headers_complete()

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._timer = self.loop.call_later(HEAD_SECONDS, self._refuse, 408)

    def _head_is_there(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _refuse(self, status: int) -> None:
        self._head_is_there()
        self.transport.write(REFUSALS[status])
        self.transport.close()
