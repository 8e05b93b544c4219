"""Requests, bounded in size and time: httptools, unlike other parsers of HTTP, takes as many headers as are sent."""

import asyncio
from math import inf
from typing import Any
from weakref import WeakKeyDictionary

from uvicorn.server import ServerState

from realtime.delivery.timers import NO_SLOT, Timers
from realtime.http.late import LateProtocol

# Bytes of a request's line and headers; daphne and nginx take 32 KB and less. What comes first, in one reading, is not
# counted; it is at most 256 KB.
MAX_HEAD_BYTES = 65_536

# Seconds in which a head has to be there, from the connection's beginning or from its own.
HEAD_SECONDS = 30.0

# Seconds between two pieces of a body, while it is read.
BODY_SECONDS = 30.0

# Requests that wait on one connection behind the one that is answered. A reading of 256 KB can hold 10,000, which take
# 27 MB when they have been parsed; hardly any client sends a second one before its answer.
MOST_BEHIND = 100

# A deadline that is found passed may only seem so: of a process that was paused (SIGSTOP, a suspended machine) timers
# come first, and then what clients have sent meanwhile. So after this many seconds it is looked at once more.
SECOND_LOOK_SECONDS = 0.02

# The headers that announce a body. The value of the second is no number: the body comes in chunks.
BODY_HEADERS = (b"content-length", b"transfer-encoding")

REFUSALS = {
    408: b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    431: b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
}

_timers: WeakKeyDictionary[ServerState, Timers] = WeakKeyDictionary()


class TooManyBehindError(Exception):
    """More requests than are kept have come before their answers."""


class UpgradeWithBodyError(Exception):
    """A request asks for another protocol and announces a body, which the parser would read as the next request."""


class BoundedHeads(LateProtocol):
    """A connection whose heads may neither grow nor last for ever. One that does is told so, and closed. One whose body
    does not come is closed.

    But what is told behind a request that waits for its answer would be taken for that. So such a connection ends with
    its last answer.

    Its deadline, for a head or for the next request, moves with each request. So the timers look at it seldom, when
    the earliest one that it had has come, and not for each.
    """

    slot = NO_SLOT
    _timers: Timers
    _head_bytes = 0
    _head_awaited = False
    _deadline = inf
    _looked_at = inf
    _second_look_at = inf
    _body_awaited = False
    _passes_over = False
    """What comes is not looked at any more. It is read: a connection that is closed with bytes unread is reset."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._timers = _timers_of(self.server_state, self.loop)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._drop_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._passes_over:
            return
        under_way = self._head_awaited and self.headers is not None
        super().data_received(data)
        self._await_body()
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
        if len(self.pipeline) >= MOST_BEHIND:
            raise TooManyBehindError
        if self.parser.should_upgrade() and any(name in BODY_HEADERS and value != b"0" for name, value in self.headers):
            raise UpgradeWithBodyError
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        # Uvicorn's timer ends at the first byte, whether or not that begins a request.
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
            self._await_next()

    def send_400_response(self, msg: str) -> None:
        if not self._ends_with_last_answer():
            super().send_400_response(msg)

    def due(self, now: float) -> None:
        """The timers look at the deadline."""
        self._looked_at = inf
        if now < self._deadline:
            self._end_at(self._deadline)
        elif self._deadline != self._second_look_at:
            self._second_look_at = now + SECOND_LOOK_SECONDS
            self._end_at(self._second_look_at)
        elif self._body_awaited and self.flow.read_paused:
            # It is the application that takes its time.
            self._end_at(now + BODY_SECONDS)
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

    def _await_body(self) -> None:
        """The rest of the newest request has to come, or has come."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._body_awaited = False
        elif cycle.more_body:
            self._body_awaited = True
            self._end_at(self.loop.time() + BODY_SECONDS)
        elif self._body_awaited:
            self._body_awaited = False
            if not self._head_awaited:
                self._deadline = inf

    def _await_next(self) -> None:
        """Nothing is under way: the connection ends if nothing comes, as uvicorn's own timers have it."""
        if not self._head_awaited:
            self._end_at(self.loop.time() + self.config.timeout_keep_alive)

    def _end_at(self, when: float) -> None:
        self._deadline = when
        if when < self._looked_at and when != inf:
            self._looked_at = when
            self._timers.schedule(self, when)

    def _drop_deadline(self) -> None:
        self._timers.cancel(self)
        self._deadline = self._looked_at = inf

    def _ends_with_last_answer(self) -> bool:
        """End after the answers to requests that are all there, if any wait for theirs."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            return False
        cycle.keep_alive = False
        self._passes_over = True
        self._deadline = inf
        return True

    def _refuse(self, status: int) -> None:
        if self._ends_with_last_answer():
            return
        self._head_is_there()
        if not self.transport.is_closing():
            self.transport.write(REFUSALS[status])
            self.transport.close()


def _timers_of(server: ServerState, loop: asyncio.AbstractEventLoop) -> Timers:
    timers = _timers.get(server)
    if timers is None:
        timers = _timers[server] = Timers(loop)
    return timers
