"""Plain requests as fast as a server answers them: a closed loop of connections that are kept open.

Every answer is checked. The loop runs in this process, on the clients' cores.
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

# Begins and ends of a run are left out of its time: connections that open, and the last answers.
WARM_UP_SECONDS = 0.5

Check = Callable[[Answer], None]
"""Raises ProtocolError for an answer that is wrong."""


@dataclass(frozen=True)
class Loaded:
    """What came of it."""

    answers: int
    seconds: float
    each: list[float]
    """Seconds of each, sorted, from the request to its answer's last byte."""

    server_seconds: float
    """Seconds that the server had a core meanwhile."""

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


def run(
    port: int,
    pids: list[int],
    requests: Iterator[bytes],
    check: Check,
    *,
    seconds: float,
    connections: int = CONNECTIONS,
) -> Loaded:
    """Send one of these requests on each connection as soon as the one before is answered, for so long."""
    loop = Loop(port, requests, check)
    try:
        for _ in range(connections):
            loop.connect()
        loop.run(WARM_UP_SECONDS)
        loop.each.clear()
        server, client, began = proc.on_core(*pids), time.process_time(), time.perf_counter()
        loop.run(seconds)
        took = time.perf_counter() - began
        server, client = proc.on_core(*pids) - server, time.process_time() - client
        if not loop.each:
            raise RuntimeError("nothing was answered")
        return Loaded(len(loop.each), took, sorted(loop.each), server, client)
    finally:
        loop.close()


class Loop:
    """The connections, and who waits for what."""

    def __init__(self, port: int, requests: Iterator[bytes], check: Check) -> None:
        self.each: list[float] = []
        """Seconds of each answer."""

        self._port = port
        self._requests = requests
        self._check = check
        self._reader = AnswerReader()
        self._epoll = select.epoll()
        self._sockets: dict[int, socket.socket] = {}
        self._came: dict[int, bytes] = {}
        self._sent: dict[int, float] = {}

    def connect(self) -> None:
        connection = socket.create_connection(("127.0.0.1", self._port), timeout=TIMEOUT)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.setblocking(False)
        descriptor = connection.fileno()
        self._sockets[descriptor] = connection
        self._came[descriptor] = b""
        self._epoll.register(descriptor, select.EPOLLIN)
        self._send(descriptor)

    def run(self, seconds: float) -> None:
        """Go on for so long."""
        until = time.perf_counter() + seconds
        while time.perf_counter() < until:
            for descriptor, _ in self._ready():
                data = self._sockets[descriptor].recv(READ_BYTES)
                if not data:
                    raise ProtocolError("a connection that was to be kept open was closed")
                came = self._came[descriptor] + data
                read = self._reader.read(came)
                if read is None:
                    self._came[descriptor] = came
                    continue
                now = time.perf_counter()
                self.each.append(now - self._sent[descriptor])
                answer, rest = read
                if rest:
                    raise ProtocolError(f"bytes after an answer: {rest[:200]!r}")
                self._answered(descriptor, answer)
                self._came[descriptor] = b""
                self._send(descriptor)

    def _ready(self) -> list[tuple[int, int]]:
        """Connections on which something has come."""
        ready = self._epoll.poll(TIMEOUT)
        if not ready:
            raise TimeoutError(f"nothing was answered for {TIMEOUT:g} s")
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
            raise OSError(errno.EAGAIN, "a request that does not fit into the socket")


class Paced(Loop):
    """Sends no more requests a second than it was asked to."""

    def __init__(self, port: int, requests: Iterator[bytes], check: Check, rate: float) -> None:
        super().__init__(port, requests, check)
        self._rate = rate
        self._began = time.perf_counter()
        self._number = 0
        self._idle: deque[int] = deque()

    def drain(self) -> None:
        """Wait for all answers."""
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
        # Coarse, for epoll counts milliseconds: some more are due then.
        return self._epoll.poll(0.001 if self._idle else 0.05)
