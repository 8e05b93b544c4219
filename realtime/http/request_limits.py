"""Limits of a request's size and duration. httptools, unlike other HTTP parsers, accepts any number of headers."""

from math import inf
from typing import Any

from realtime import runtime
from realtime.compat.uvicorn import LazyProtocol
from realtime.delivery.timers import NO_SLOT, Timers

# Bytes of the request line and the headers; daphne's and nginx's limits are 32 KB and less. The first read, of at most
# 256 KB, is not counted.
MAX_HEADER_BYTES = 65_536

# The time from the connection's or the request's first byte to the end of the headers.
HEADER_TIMEOUT_SECONDS = 30.0

# The time between two parts of a body.
BODY_TIMEOUT_SECONDS = 30.0

# Pipelined requests that wait for the response to an earlier one. A read of 256 KB can hold 10,000, which take 27 MB
# when they are parsed; hardly any client sends a second request before the first response.
MAX_PIPELINED = 100

# A deadline that has passed is checked once more after this time: when a paused process (SIGSTOP, a suspended machine)
# continues, its timers run before it reads what clients have sent meanwhile.
RECHECK_SECONDS = 0.02

# The headers that announce a body. A Transfer-Encoding is no number: the body is chunked.
BODY_HEADERS = (b"content-length", b"transfer-encoding")

ERROR_RESPONSES = {
    408: b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
    431: b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n",
}


class TooManyPipelinedError(Exception):
    """More than ``MAX_PIPELINED`` requests wait for responses."""


class ConnectWithBodyError(Exception):
    """A CONNECT announces a body, which the parser would read as the next request."""


class LimitedRequests(LazyProtocol):
    """Protocol that limits the size and duration of headers (431, 408), and closes a connection whose body stalls.

    An error that is written while an earlier pipelined request waits for its response would be read as that response.
    In this case the connection closes after its last response, without the error.

    The deadline moves with each request. To avoid a timer operation per request, the timer stays at the earliest
    deadline, and is set to the current one when it fires.
    """

    slot = NO_SLOT
    _timers: Timers
    _header_bytes = 0
    _awaits_headers = False
    _deadline = inf
    _timer_at = inf
    _recheck_at = inf
    _awaits_body = False
    _discards_input = False
    """Further input is read, but not parsed: closing a connection with unread bytes resets it."""

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._timers = runtime.current().get(Timers)
        self._await_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self._drop_deadline()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._discards_input:
            return
        under_way = self._awaits_headers and self.headers is not None
        super().data_received(data)
        self._await_body()
        if under_way and self._awaits_headers:
            self._header_bytes += len(data)
            if self._header_bytes > MAX_HEADER_BYTES:
                self._reject(431)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if not self._awaits_headers:
            self._await_headers()

    def on_headers_complete(self) -> None:
        self._headers_received()
        if len(self.pipeline) >= MAX_PIPELINED:
            raise TooManyPipelinedError
        if self.parser.should_upgrade() and any(name in BODY_HEADERS and value != b"0" for name, value in self.headers):
            raise ConnectWithBodyError
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        if not self._close_after_last_response():
            super().send_400_response(msg)

    def due(self, now: float) -> None:
        """The timer has fired."""
        self._timer_at = inf
        if now < self._deadline:
            self._set_deadline(self._deadline)
        elif self._deadline != self._recheck_at:
            self._recheck_at = now + RECHECK_SECONDS
            self._set_deadline(self._recheck_at)
        elif self._awaits_body and self.flow.read_paused:
            # The application is slow, not the client.
            self._set_deadline(now + BODY_TIMEOUT_SECONDS)
        elif self._awaits_headers:
            self._reject(408)
        else:
            self.transport.close()

    def _await_headers(self) -> None:
        self._awaits_headers = True
        self._header_bytes = 0
        self._set_deadline(self.loop.time() + HEADER_TIMEOUT_SECONDS)

    def _headers_received(self) -> None:
        self._awaits_headers = False
        self._deadline = inf

    def _await_body(self) -> None:
        """Set the deadline for the rest of the newest request's body, or clear it if the body is complete."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete:
            self._awaits_body = False
        elif cycle.more_body:
            self._awaits_body = True
            self._set_deadline(self.loop.time() + BODY_TIMEOUT_SECONDS)
        elif self._awaits_body:
            self._awaits_body = False
            if not self._awaits_headers:
                self._deadline = inf

    def await_next_request(self) -> None:
        """Set the keep-alive deadline of an idle connection."""
        if not self._awaits_headers:
            self._set_deadline(self.loop.time() + self.config.timeout_keep_alive)

    def _set_deadline(self, when: float) -> None:
        self._deadline = when
        if when < self._timer_at and when != inf:
            self._timer_at = when
            self._timers.schedule(self, when)

    def _drop_deadline(self) -> None:
        self._timers.cancel(self)
        self._deadline = self._timer_at = inf

    def _close_after_last_response(self) -> bool:
        """Close after the responses to complete requests, if any is pending. Returns whether one is."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body:
            return False
        cycle.keep_alive = False
        self._discards_input = True
        self._deadline = inf
        return True

    def _reject(self, status: int) -> None:
        if self._close_after_last_response():
            return
        self._headers_received()
        if not self.transport.is_closing():
            self.transport.write(ERROR_RESPONSES[status])
            self.transport.close()
