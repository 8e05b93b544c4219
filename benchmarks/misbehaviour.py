"""Misbehaving clients, for ``soak.py``."""

import contextlib
import random
import socket
import struct
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from benchmarks.streams import Target

# Small, so that the server soon cannot write to a client that does not read.
RECEIVE_BUFFER = 2_048

RESET = struct.pack("ii", 1, 0)

TICK_SECONDS = 0.1


@dataclass
class Client:
    connection: socket.socket
    ends_at: float
    kind: str
    reads_at: float = 0.0


# Maximum number of clients, and maximum duration in seconds, by kind.
KINDS = {
    # Reads, and closes.
    "short": (100, 3.0),
    # Reads nothing.
    "stalled": (100, 150.0),
    # Reads a byte a second.
    "slow": (100, 150.0),
    # Closes with a reset.
    "reset": (50, 1.0),
    # Sends half of a request, and closes with a reset.
    "half": (50, 2.0),
}


class MisbehavingClients:
    """A thread that opens and closes such clients in this context; all are closed at its end."""

    def __init__(self, target: Target) -> None:
        self.counts = dict.fromkeys(KINDS, 0)
        """The number of opened clients of each kind."""

        self._target = target
        self._clients: list[Client] = []
        self._stopped = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="misbehaving clients")
        # Seeded: it only determines the durations.
        self._random = random.Random(0)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopped.set()
        self._thread.join()
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            while not self._stopped.wait(TICK_SECONDS):
                self._tick(time.monotonic())
        except BaseException as failure:
            self._failure = failure
        finally:
            for client in self._clients:
                client.connection.close()

    def _tick(self, now: float) -> None:
        for client in self._clients:
            if now < client.ends_at:
                self._read(client, now)
            else:
                self._close(client)
        self._clients = [client for client in self._clients if now < client.ends_at]
        for kind, (maximum, seconds) in KINDS.items():
            open_now = sum(client.kind == kind for client in self._clients)
            # The maximum is reached within a second.
            for _ in range(min(maximum - open_now, -(-maximum // 10))):
                self._clients.append(self._connect(kind, now + self._random.uniform(0, seconds)))
                self.counts[kind] += 1

    def _connect(self, kind: str, ends_at: float) -> Client:
        connection = socket.socket()
        if kind in ("stalled", "slow"):
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        connection.settimeout(10)
        connection.connect(("127.0.0.1", self._target.port))
        head = f"GET {self._target.path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        connection.sendall(head.encode() if kind == "half" else f"{head}\r\n".encode())
        connection.setblocking(False)
        return Client(connection, ends_at, kind)

    def _read(self, client: Client, now: float) -> None:
        size = {"short": 65_536, "slow": 1}.get(client.kind)
        if size is None or now < client.reads_at:
            return
        client.reads_at = now + (1.0 if client.kind == "slow" else 0.0)
        # The server may have closed the connection.
        with contextlib.suppress(BlockingIOError, ConnectionError):
            client.connection.recv(size)

    def _close(self, client: Client) -> None:
        if client.kind in ("reset", "half"):
            client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.connection.close()
