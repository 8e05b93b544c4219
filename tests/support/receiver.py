"""A receiver of webhooks: an HTTP server on a free port of the loopback interface.

with Receiver() as receiver:
    receiver.answers.append(500)
    ...
    assert receiver.next().json()["event_type"] == "FLAG_UPDATED"
"""

import atexit
import json
import ssl
import threading
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from email.message import Message
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from queue import Empty, Queue
from typing import Any, Self

from tests.support.patience import PATIENCE

Answer = int | Callable[[BaseHTTPRequestHandler], None]
"""A status, or a function that responds to a request."""


@dataclass(frozen=True)
class Received:
    method: str
    path: str
    headers: Message
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


class Receiver:
    """Responds with ``answers`` in their order, and then with 200."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.answers: deque[Answer] = deque()
        self.released = threading.Event()
        """Set to let ``wait_for_release`` return."""
        self._received: Queue[Received] = Queue()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._scheme = "http"
        if tls is not None:
            self._scheme = "https"
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True, do_handshake_on_connect=False)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.released.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}/hook"

    def next(self, timeout: float = PATIENCE) -> Received:
        """Wait for the next request."""
        try:
            return self._received.get(timeout=timeout)
        except Empty:
            raise TimeoutError(f"no request in {timeout} s") from None

    def rest(self) -> list[Received]:
        """The requests so far that ``next`` has not returned."""
        found = []
        while not self._received.empty():
            found.append(self._received.get())
        return found

    def wait_for_release(self, handler: BaseHTTPRequestHandler) -> None:
        """An answer that sends nothing until ``released`` is set."""
        self.released.wait(PATIENCE)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                receiver._received.put(Received(self.command, self.path, self.headers, body))
                answer = receiver.answers.popleft() if receiver.answers else 200
                if callable(answer):
                    answer(self)
                    return
                self.send_response(answer)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def do_GET(self) -> None:
                receiver._received.put(Received(self.command, self.path, self.headers, b""))
                self.send_error(404)

            def handle(self) -> None:
                try:
                    super().handle()
                except OSError:
                    self.close_connection = True  # The client has disconnected.

            def log_message(self, *args: Any) -> None:
                """Write nothing."""

        return Handler


@cache
def shared() -> Receiver:
    """A receiver for all tests of the process that need only a response."""
    receiver = Receiver()
    receiver.__enter__()
    atexit.register(receiver.__exit__)
    return receiver
