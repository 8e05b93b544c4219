"""Heads of requests, bounded: httptools, unlike other parsers of HTTP, takes as many headers as are sent."""

import asyncio
from math import inf
from typing import Any
from weakref import WeakKeyDictionary

from uvicorn.server import ServerState

from realtime.late import LateProtocol
from realtime.timers import NONE, Timers

# Bytes of a request's line and headers; daphne and nginx take 32 KB and less. What comes first, in one reading, is not
# counted; it is at most 256 KB.
MAX_HEAD_BYTES = 65_536

# Seconds in which a head has to be there, from the connection's beginning or from its own.
HEAD_SECONDS = 30.0

REFUSALS = {
    408: b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    431: b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
}

_timers: WeakKeyDictionary[ServerState, Timers] = WeakKeyDictionary()


class BoundedHeads(LateProtocol):
    """A connection whose heads may neither grow nor last for ever. One that does is told so, and closed.

    Its deadline, for a head or for the next request, moves with each request. So the timers look at it seldom, when
    the earliest one that it had has come, and not for each.
    """

    slot = NONE
    _timers: Timers
    _head_bytes = 0
    _head_awaited = False
    _deadline = inf
    _looked_at = inf

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._timers = _timers_of(self.server_state, self.loop)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._drop_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        under_way = self._head_awaited and self.headers is not None
        super().data_received(data)
        if under_way and self._head_awaited:
            self._head_bytes += len(data)
            if self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(431)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._head_awaited:
            self._await_head()

    def on_headers_complete(self) -> None:
        self._head_is_there()
        super().on_headers_complete()

    def due(self, now: float) -> None:
        """The timers look at the deadline."""
        self._looked_at = inf
        if now < self._deadline:
            self._end_at(self._deadline)
        elif self._head_awaited:
            self._refuse(408)
        else:
            self.transport.close()

    def _await_head(self) -> None:
        self._head_awaited = True
        self._head_bytes = 0
        self._end_at(self.loop.time() + HEAD_SECONDS)

    def _head_is_there(self) -> None:
        self._head_awaited = False
        self._deadline = inf

    def _await_next(self) -> None:
        """Nothing is under way: the connection ends if nothing comes, as uvicorn's own timers have it."""
        if not self._head_awaited:
            self._end_at(self.loop.time() + self.config.timeout_keep_alive)

    def _end_at(self, when: float) -> None:
        self._deadline = when
        if when < self._looked_at and when != inf:
            self._looked_at = when
            self._timers.put(self, when)

    def _drop_deadline(self) -> None:
        self._timers.drop(self)
        self._deadline = self._looked_at = inf

    def _refuse(self, status: int) -> None:
        self._head_is_there()
        if not self.transport.is_closing():
            self.transport.write(REFUSALS[status])
            self.transport.close()


def _timers_of(server: ServerState, loop: asyncio.AbstractEventLoop) -> Timers:
    timers = _timers.get(server)
    if timers is None:
        timers = _timers[server] = Timers(loop)
    return timers
