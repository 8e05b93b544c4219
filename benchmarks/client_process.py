"""A client process with very many streams, which ``streams.py`` starts and commands."""

import errno
import gc
import os
import select
import socket
import time
from array import array
from collections.abc import Sequence
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from benchmarks import cores
from benchmarks.wire import START, Event, ProtocolError, State, StreamReader

if TYPE_CHECKING:
    from benchmarks.streams import Target

# Choose the port at connect(), so that a source address can reuse its ports for each server.
IP_BIND_ADDRESS_NO_PORT = 24

# The kernel searches longer for a free port if many of an address's ports are in use.
MAX_CONNECTIONS_PER_ADDRESS = 2_000

READ_BYTES = 65_536

REQUEST = "GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: text/event-stream\r\nUser-Agent: benchmark\r\n\r\n"


class ClientProcess:
    """An event loop around ``epoll``, with a pipe for commands and their answers."""

    def __init__(self, pipe: Connection, targets: "Sequence[Target]", source: str, window: int) -> None:
        self._pipe = pipe
        self._targets = targets
        self._source = source
        self._connects = 0
        self._window = window
        self._epoll = select.epoll()
        self._epoll.register(pipe.fileno(), select.EPOLLIN)
        self._reader = StreamReader()
        self._states: dict[int, State] = {}
        self._versions: dict[int, int] = {}
        self._target_indexes: dict[int, int] = {}
        """By file descriptor of a stream."""

        self._unsent: dict[int, bytes] = {}
        """Requests whose connections are not established, by file descriptor."""

        self._began: dict[int, float] = {}
        """The connect times of streams without their first event, by file descriptor."""

        self._opened = array("d")
        self._after: int | None = None
        self._times = array("d")
        self._first: tuple[float, float] = (0.0, 0.0)

    @classmethod
    def main(
        cls, pipe: Connection, targets: "Sequence[Target]", source: str, window: int, options: dict[str, Any]
    ) -> None:
        """The process's main function."""
        cores.raise_file_limit()
        # There are no reference cycles, and a collection during a measurement would appear as a delay of the server.
        gc.disable()
        client = cls(pipe, targets, source, window, **options)
        pipe.send(("ready", {}))
        try:
            while client.poll():
                pass
        except Exception as error:
            pipe.send(("failed", f"{type(error).__name__}: {error}"))

    def poll(self, timeout: float = 60) -> bool:
        """Process all ready file descriptors once. Returns False when the parent has closed the pipe."""
        states, versions, read, clock = self._states, self._versions, self._reader.read, time.perf_counter
        for descriptor, _ in self._epoll.poll(timeout):
            state = states.get(descriptor)
            if state is None:
                if not self._handle_other(descriptor, clock()):
                    return False
                continue
            data = self._received(descriptor)
            if data is None:
                continue
            now = clock()
            state, events = read(state, data)
            states[descriptor] = state
            for event in events:
                if descriptor in self._began:
                    self._greeted(descriptor, event, now)
                elif event.version > versions[descriptor]:
                    self._updated(descriptor, event.version, now)
            if state.ended:
                self._ended(descriptor)
        return True

    def open(self) -> dict[str, Any]:
        """Open all streams, at most ``window`` of them concurrently."""
        waiting = list(enumerate(self._targets))[::-1]
        began, worked = time.perf_counter(), time.process_time()
        while waiting or self._began:
            while waiting and len(self._began) < self._window:
                self._connect(*waiting.pop())
            if not self.poll():
                raise SystemExit
        return {
            "each": self._opened,
            "began": began,
            "ended": time.perf_counter(),
            "client_seconds": time.process_time() - worked,
            "version": max(self._versions.values()),
        }

    def expect(self, after: int) -> dict[str, Any]:
        """Record when each stream gets an update newer than this. ``arrived`` is sent when all have it."""
        if any(version > after for version in self._versions.values()):
            raise ValueError("a stream has a newer version already")
        self._after = after
        self._times = array("d")
        return {}

    def newest(self) -> dict[str, Any]:
        """The lowest current version of the streams of each path."""
        oldest: dict[str, int] = {}
        for descriptor, version in self._versions.items():
            path = self._targets[self._target_indexes[descriptor]].path
            oldest[path] = min(version, oldest.get(path, version))
        return {"versions": oldest, "streams": len(self._versions)}

    def state(self) -> dict[str, Any]:
        """The progress, for the message of a timeout."""
        return {"open": len(self._opened), "of": len(self._targets), "updated": len(self._times)}

    def _connect(self, index: int, target: "Target") -> None:
        descriptor = self.connect(target.port, REQUEST.format(path=target.path, port=target.port).encode())
        self._target_indexes[descriptor] = index
        self._states[descriptor] = START
        self._versions[descriptor] = 0

    def connect(self, port: int, request: bytes) -> int:
        """Start a connection that sends this request when it is established, and return its file descriptor."""
        began = time.perf_counter()
        connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        connection.setsockopt(socket.IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, 1)
        connection.bind((f"{self._source}.{1 + self._connects // MAX_CONNECTIONS_PER_ADDRESS % 250}", 0))
        self._connects += 1
        error = connection.connect_ex(("127.0.0.1", port))
        if error not in (0, errno.EINPROGRESS):
            raise OSError(error, f"cannot connect: {os.strerror(error)}")
        descriptor = connection.detach()
        self._began[descriptor] = began
        # On the loopback interface the connection is established at once, except if the server's backlog is full.
        if self._sent(descriptor, request):
            self._epoll.register(descriptor, select.EPOLLIN)
        else:
            self._unsent[descriptor] = request
            self._epoll.register(descriptor, select.EPOLLOUT)
        return descriptor

    def _sent(self, descriptor: int, request: bytes) -> bool:
        try:
            return os.write(descriptor, request) == len(request)
        except BlockingIOError:
            return False

    def _received(self, descriptor: int) -> bytes | None:
        """The received bytes; None if there are none. Raises for an end or a reset."""
        request = self._unsent.pop(descriptor, None)
        if request is not None:
            if not self._sent(descriptor, request):
                raise ConnectionError("a connection accepts no request")
            self._epoll.modify(descriptor, select.EPOLLIN)
            return None
        try:
            data = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return None
        if not data:
            raise ConnectionError("a connection was closed without an end")
        return data

    def _handle_other(self, descriptor: int, now: float) -> bool:
        """Handle a ready descriptor that is no stream: a command. Returns False when the parent has closed the pipe."""
        try:
            command, options = self._pipe.recv()
        except EOFError:
            return False
        answer = getattr(self, command)(**options)
        self._pipe.send((command, answer))
        return True

    def _greeted(self, descriptor: int, event: Event, now: float) -> None:
        if event.name != "environment_updated":
            raise ProtocolError(f"a stream that begins with {event}")
        self._versions[descriptor] = event.version
        self._opened.append(now - self._began.pop(descriptor))

    def _updated(self, descriptor: int, version: int, now: float) -> None:
        """Handle a newer version of a stream."""
        before, self._versions[descriptor] = self._versions[descriptor], version
        if self._after is not None and before <= self._after < version:
            self.done(now)

    def _ended(self, descriptor: int) -> None:
        """Handle the clean end of a stream."""
        raise ProtocolError("a stream has ended")

    def done(self, now: float) -> None:
        """Record that one more stream has the expected update."""
        assert self._after is not None
        if not self._times:
            self._first = (now, time.process_time())
        self._times.append(now)
        if len(self._times) == len(self._targets):
            self._after = None
            began, worked = self._first
            worked = time.process_time() - worked
            self._pipe.send(
                (
                    "arrived",
                    {
                        "times": self._times,
                        "version": max(self._versions.values()),
                        "busy": worked / max(now - began, 1e-6),
                        "client_seconds": worked,
                    },
                )
            )
