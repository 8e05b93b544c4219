"""A client of event streams on a socket, which shows chunks, socket reads and the end of the response.

    with sse.connect(port, key) as stream:
        event = stream.next_event()
        assert stream.end() is End.CLEAN

Every wait has a ``timeout`` in seconds, and raises ``TimeoutError`` with the data received. Times are seconds of
``time.perf_counter``.
"""

import json
import re
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from enum import Enum
from types import TracebackType
from typing import Self

from tests.support.patience import PATIENCE

BLOCK = re.compile(rb".*?\n\n", re.DOTALL)


class End(Enum):
    """The end of a response."""

    CLEAN = "with the terminating chunk"
    CUT = "the connection was closed without the terminating chunk"
    RESET = "the connection was reset"


@dataclass(frozen=True)
class Chunk:
    """A chunk of the response's body, and the time of its last byte."""

    data: bytes
    at: float


@dataclass(frozen=True)
class Block:
    """The lines before an empty one: an event, or comments."""

    data: bytes
    at: float

    @property
    def fields(self) -> dict[str, str]:
        """The fields of an event by name; empty for comments."""
        lines = [line for line in self.data.decode().splitlines() if line and not line.startswith(":")]
        return {name: value for name, _, value in (line.partition(": ") for line in lines)}

    @property
    def is_event(self) -> bool:
        return bool(self.fields)

    @property
    def updated_at(self) -> Decimal:
        """The event's version: seconds since the epoch, exact to the microsecond."""
        return Decimal(json.loads(self.fields["data"], parse_float=Decimal)["updated_at"])


@dataclass
class Stream:
    """An open response, created by ``connect``."""

    connection: socket.socket
    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    """By name in lower case; values of a repeated header are joined by commas."""

    head: bytes = b""
    """The raw status line and headers."""

    reads: list[Chunk] = field(default_factory=list)
    """The data of each socket read. On the loopback interface, one write of the server is one read."""

    chunks: list[Chunk] = field(default_factory=list)
    """All chunks so far, without the terminating one."""

    ended: End | None = None
    _raw: bytes = b""
    _unread_chunks: int = 0
    _body: bytes = b""
    _at: float = 0.0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self.connection.close()

    @property
    def body(self) -> bytes:
        """The content of all chunks."""
        return b"".join(chunk.data for chunk in self.chunks)

    @property
    def _tail(self) -> str:
        """The last part of the body, for messages."""
        return repr(self.body[-1000:])

    def next_chunk(self, timeout: float = PATIENCE) -> Chunk | None:
        """The next chunk; None once the response has ended."""
        deadline = time.monotonic() + timeout
        while True:
            if self._unread_chunks < len(self.chunks):
                self._unread_chunks += 1
                return self.chunks[self._unread_chunks - 1]
            if self.ended:
                return None
            self._read(deadline)

    def next_block(self, timeout: float = PATIENCE) -> Block | None:
        """The next event or comment; None once the response has ended."""
        deadline = time.monotonic() + timeout
        while not (match := BLOCK.match(self._body)):
            chunk = self.next_chunk(deadline - time.monotonic())
            if chunk is None:
                return None
            self._body += chunk.data
            self._at = chunk.at
        self._body = self._body[match.end() :]
        return Block(match.group(), self._at)

    def next_event(self, timeout: float = PATIENCE) -> Block:
        """The next event; comments are skipped. The end of the response raises ``EOFError``."""
        return self._next(True, timeout)

    def next_comment(self, timeout: float = PATIENCE) -> Block:
        """The next block of comments; events are skipped. The end of the response raises ``EOFError``."""
        return self._next(False, timeout)

    def event_after(self, updated_at: Decimal, timeout: float = PATIENCE) -> Block:
        """The next event that is newer than this version; repeated events are skipped."""
        deadline = time.monotonic() + timeout
        while (event := self.next_event(deadline - time.monotonic())).updated_at <= updated_at:
            pass
        return event

    def end(self, timeout: float = PATIENCE) -> End:
        """Read until the response ends, and return its end."""
        deadline = time.monotonic() + timeout
        while self.ended is None:
            self._read(deadline)
        return self.ended

    def _next(self, event: bool, timeout: float) -> Block:
        deadline = time.monotonic() + timeout
        while True:
            block = self.next_block(deadline - time.monotonic())
            if block is None:
                raise EOFError(f"the stream has ended: {self.ended and self.ended.value}; it held {self._tail}")
            if block.is_event is event:
                return block

    def _receive(self, deadline: float) -> bytes | None:
        """The data of the next read; None at the end, which sets ``ended``."""
        left = deadline - time.monotonic()
        try:
            if left <= 0:
                raise TimeoutError
            self.connection.settimeout(left)
            data = self.connection.recv(65_536)
        except TimeoutError:
            raise TimeoutError(f"no more data in time; head {self.head!r}, body {self._tail}") from None
        except ConnectionResetError:
            self.ended = End.RESET
            return None
        if not data:
            self.ended = End.CUT
            return None
        self.reads.append(Chunk(data, time.perf_counter()))
        self._raw += data
        return data

    def _read(self, deadline: float) -> None:
        """Read the socket once, and take the complete chunks."""
        if not self._take_chunks():
            self._receive(deadline)
            self._take_chunks()

    def _take_chunks(self) -> bool:
        """Move complete chunks from the data to ``chunks``. Returns whether there was any."""
        taken = False
        while self.ended is None and (line_end := self._raw.find(b"\r\n")) >= 0:
            size = int(self._raw[:line_end].split(b";")[0], 16)
            start, stop = line_end + 2, line_end + 2 + size
            if len(self._raw) < stop + 2:
                break
            assert self._raw[stop : stop + 2] == b"\r\n", f"chunk without end: {self._raw!r}"
            taken = True
            if size == 0:
                self.ended = End.CLEAN
            else:
                self.chunks.append(Chunk(self._raw[start:stop], self.reads[-1].at))
            self._raw = self._raw[stop + 2 :]
        return taken

    def _read_head(self, deadline: float) -> None:
        while b"\r\n\r\n" not in self._raw:
            if self._receive(deadline) is None:
                raise ConnectionError(f"no response: {self.ended and self.ended.value}; {self._raw!r}")
        self.head, self._raw = self._raw.split(b"\r\n\r\n", 1)
        status, *lines = self.head.decode("latin-1").split("\r\n")
        self.status = int(status.split()[1])
        for line in lines:
            name, _, value = line.partition(":")
            name, value = name.strip().lower(), value.strip()
            self.headers[name] = f"{self.headers[name]}, {value}" if name in self.headers else value


def connect(
    port: int,
    key: str,
    headers: Mapping[str, str] | None = None,
    *,
    path: str = "/sse/environments/{key}/stream",
    host: str = "127.0.0.1",
    timeout: float = PATIENCE,
    receive_buffer: int | None = None,
) -> Stream:
    """Request a stream, and return it with the head of the response.

    ``receive_buffer``: bytes of the kernel's buffer, a small one for a client that does not read.
    """
    connection = socket.socket()
    if receive_buffer is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    connection.settimeout(timeout)
    stream = Stream(connection)
    try:
        connection.connect((host, port))
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        lines = [f"GET {path.format(key=key)} HTTP/1.1", f"Host: {host}:{port}", "Accept: text/event-stream"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        connection.sendall("\r\n".join([*lines, "", ""]).encode())
        stream._read_head(time.monotonic() + timeout)
    except BaseException:
        connection.close()
        raise
    return stream
