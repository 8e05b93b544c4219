"""Clients that a server must be able to bear: ``soak.py`` lets them loose."""

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

# So small that a client which does not read holds up its server soon.
RECEIVE_BUFFER = 2_048

RESET = struct.pack("ii", 1, 0)

TICK_SECONDS = 0.1


@dataclass
class Client:
    connection: socket.socket
    ends_at: float
    kind: str
    reads_at: float = 0.0


# How many are there at most, and how long each stays at most, in seconds.
KINDS = {
    # Comes, reads, and goes.
    "guest": (100, 3.0),
    # Reads nothing.
    "stalled": (100, 150.0),
    # Reads a byte a second.
    "slow": (100, 150.0),
    # Goes with a reset.
    "reset": (50, 1.0),
    # Sends half of a request, and then goes with a reset.
    "half": (50, 2.0),
}


class Crowd:
    """A thread in which such clients come and go while this is entered; all have gone at its end."""

    def __init__(self, target: Target) -> None:
        self.met = dict.fromkeys(KINDS, 0)
        """How many there were of each kind."""

        self._target = target
        self._clients: list[Client] = []
        self._stopped = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="crowd")
        # Nothing depends on it but who comes when.
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
                self._leave(client)
        self._clients = [client for client in self._clients if now < client.ends_at]
        for kind, (most, seconds) in KINDS.items():
            there = sum(client.kind == kind for client in self._clients)
            # Within a second they are as many as they may be.
            for _ in range(min(most - there, -(-most // 10))):
                self._clients.append(self._arrive(kind, now + self._random.uniform(0, seconds)))
                self.met[kind] += 1

    def _arrive(self, kind: str, ends_at: float) -> Client:
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
        most = {"guest": 65_536, "slow": 1}.get(client.kind)
        if most is None or now < client.reads_at:
            return
        client.reads_at = now + (1.0 if client.kind == "slow" else 0.0)
        # The server may have ended it by now.
        with contextlib.suppress(BlockingIOError, ConnectionError):
            client.connection.recv(most)

    def _leave(self, client: Client) -> None:
        if client.kind in ("reset", "half"):
            client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
        client.connection.close()
