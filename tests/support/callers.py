"""Clients that keep sending requests to a server while it shuts down, as a proxy does."""

import socket
import threading
import time
from functools import partial

from tests.support.patience import PATIENCE


def rest_of(connection: socket.socket) -> bytes:
    """All bytes until the server closes the connection."""
    return b"".join(iter(partial(connection.recv, 65_536), b""))


class Callers:
    """Threads that send requests on new connections until a connection is refused."""

    def __init__(self, port: int, number: int) -> None:
        self.answered = 0
        self.broken: list[BaseException] = []
        self._port = port
        self._threads = [threading.Thread(target=self._call, daemon=True) for _ in range(number)]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        for thread in self._threads:
            thread.join(PATIENCE)
            assert not thread.is_alive()

    def _call(self) -> None:
        while True:
            try:
                connection = socket.create_connection(("127.0.0.1", self._port), timeout=PATIENCE)
            except ConnectionRefusedError:
                return
            with connection:
                try:
                    # During the pause the server may close its listening socket.
                    time.sleep(0.02)
                    connection.sendall(b"GET /health/liveness HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
                    answer = rest_of(connection)
                    assert answer.startswith(b"HTTP/1.1 200 "), answer
                    self.answered += 1
                except (OSError, AssertionError) as error:
                    self.broken.append(error)
