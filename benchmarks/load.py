"""A closed-loop load of plain requests on keep-alive connections.

Every response is checked. The loop runs in this process, on the clients' cores.
"""

import errno
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks import proc, report
from benchmarks.report import Figures
from benchmarks.wire import Answer, AnswerReader, ProtocolError

CONNECTIONS = 64
READ_BYTES = 262_144
TIMEOUT = 30.0

# The measurement starts after this time, and excludes the opening of connections.
WARM_UP_SECONDS = 0.5

Check = Callable[[Answer], None]
"""Raises ProtocolError for a wrong response."""


@dataclass(frozen=True)
class Loaded:
    """The results of a load."""

    answers: int
    seconds: float
    each: list[float]
    """The sorted durations from a request to the last byte of its response, in seconds."""

    server_seconds: float
    """The server's CPU time meanwhile."""

    client_seconds: float

    def figures(self) -> Figures:
        return {
            "per_second": self.answers / self.seconds,
            "per_cpu_second": self.answers / self.server_seconds,
            "p50_ms": report.percentile(self.each, 0.5) * 1000,
            "p99_ms": report.percentile(self.each, 0.99) * 1000,
            "last_ms": self.each[-1] * 1000,
            "client_busy": self.client_seconds / self.seconds,
        }


def get(path: str, key: str, *headers: str) -> bytes:
    """A request of the SDK API."""
    lines = [f"GET {path} HTTP/1.1", "Host: 127.0.0.1", f"X-Environment-Key: {key}", "Accept: */*", *headers]
    return "\r\n".join([*lines, "", ""]).encode()


def post(path: str, body: str, *headers: str) -> bytes:
    """A POST of JSON."""
    lines = [f"POST {path} HTTP/1.1", "Host: 127.0.0.1", "Content-Type: application/json", *headers]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", body]).encode()


def run(
    port: int,
    pids: list[int],
    requests: Iterator[bytes],
    check: Check,
    *,
    seconds: float,
    connections: int = CONNECTIONS,
) -> Loaded:
    """Send these requests for ``seconds``, on each connection the next one after the response to the last one."""
    loop = Loop(port, requests, check)
    try:
        for _ in range(connections):
            loop.connect()
        loop.run(WARM_UP_SECONDS)
        loop.each.clear()
        server, client, began = proc.cpu_seconds(*pids), time.process_time(), time.perf_counter()
        loop.run(seconds)
        took = time.perf_counter() - began
        server, client = proc.cpu_seconds(*pids) - server, time.process_time() - client
        if not loop.each:
            raise RuntimeError("there was no response")
        return Loaded(len(loop.each), took, sorted(loop.each), server, client)
    finally:
        loop.close()


class Loop:
    """The connections, and the state of each."""

    def __init__(self, port: int, requests: Iterator[bytes], check: Check) -> None:
        self.each: list[float] = []
        """The duration of each request, in seconds."""

        self._port = port
        self._requests = requests
        self._check = check
        self._reader = AnswerReader()
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._received: dict[int, bytes] = {}
        self._sent: dict[int, float] = {}

    def connect(self) -> None:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=TIMEOUT)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        descriptor = connection.fileno()
        self._sockets[descriptor] = connection
        self._received[descriptor] = b""
        self._epoll.register(descriptor, select.EPOLLIN)
        self._send(descriptor)

    def run(self, seconds: float) -> None:
        """Run for this time."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            for descriptor, _ in self._ready():
                data = self._sockets[descriptor].recv(READ_BYTES)
                if not data:
                    raise ProtocolError("the server closed a keep-alive connection")
                received = self._received[descriptor] + data
                read = self._reader.read(received)
                if read is None:
                    self._received[descriptor] = received
                    continue
                now = time.perf_counter()
                self.each.append(now - self._sent[descriptor])
                answer, rest = read
                if rest:
                    raise ProtocolError(f"bytes after a response: {rest[:200]!r}")
                self._answered(descriptor, answer)
                if answer.headers.get(b"connection", b"").lower() == b"close":
                    # A proxy limits the requests of a connection.
                    self._sockets.pop(descriptor).close()
                    self.connect()
                    continue
                self._received[descriptor] = b""
                self._send(descriptor)

    def _ready(self) -> list[tuple[int, int]]:
        """The connections with data to read."""
        ready = self._epoll.poll(TIMEOUT)
        if not ready:
            raise TimeoutError(f"no response for {TIMEOUT:g} s")
        return ready

    def _answered(self, descriptor: int, answer: Answer) -> None:
        self._check(answer)

    def close(self) -> None:
        for connection in self._sockets.values():
            connection.close()
        self._epoll.close()

    def _send(self, descriptor: int) -> None:
        request = next(self._requests)
        self._sent[descriptor] = time.perf_counter()
        if self._sockets[descriptor].send(request) != len(request):
            raise OSError(errno.EAGAIN, "a request does not fit into the socket buffer")


class Paced(Loop):
    """A load with a maximum rate of requests."""

    def __init__(self, port: int, requests: Iterator[bytes], check: Check, rate: float) -> None:
        super().__init__(port, requests, check)
        self._rate = rate
        self._began = time.perf_counter()
        self._number = 0
        self._idle: deque[int] = deque()

    def drain(self) -> None:
        """Wait for all responses."""
        self._number = sys.maxsize
        while len(self._idle) < len(self._sockets):
            self.run(0.05)

    def _send(self, descriptor: int) -> None:
        if self._until_due() > 0:
            self._idle.append(descriptor)
            return
        self._number += 1
        super()._send(descriptor)

    def _until_due(self) -> float:
        return self._began + self._number / self._rate - time.perf_counter()

    def _ready(self) -> list[tuple[int, int]]:
        while self._idle and self._until_due() <= 0:
            self._send(self._idle.popleft())
        # epoll has a resolution of a millisecond, in which several requests may become due.
        return self._epoll.poll(0.001 if self._idle else 0.05)
