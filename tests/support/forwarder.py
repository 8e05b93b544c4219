"""An HTTP server that forwards each request to another server, and records it.

with Forwarder("http://127.0.0.1:8000") as forwarder:
    requests.get(f"{forwarder.url}/api/v1/flags/", ...)
    assert forwarder.requests[0].path == "/api/v1/flags/"
"""

import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import urlsplit

from tests.support.patience import PATIENCE

# Headers of one connection.
HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "host"}


@dataclass(frozen=True)
class Forwarded:
    """A request. Times are seconds of ``time.perf_counter``."""

    method: str
    path: str
    body: bytes
    at: float


class Forwarder:
    """A context manager, on a free port of the loopback interface."""

    def __init__(self, target: str = "") -> None:
        self.target = target
        """The other server's URL, without a path."""

        self.requests: list[Forwarded] = []
        """In the order of their arrival."""

        self.answer_seconds: list[float] = []
        """The time that the other server took for each answer."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), name="forwarder", daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        forwarder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            wbufsize = -1

            def do_GET(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                arrived_at = time.perf_counter()
                forwarder.requests.append(Forwarded(self.command, self.path, body, arrived_at))
                headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP_BY_HOP}
                connection = HTTPConnection(urlsplit(forwarder.target).netloc, timeout=PATIENCE)
                try:
                    connection.request(self.command, self.path, body or None, headers)
                    response = connection.getresponse()
                    content = response.read()
                finally:
                    connection.close()
                forwarder.answer_seconds.append(time.perf_counter() - arrived_at)
                self.send_response_only(response.status)
                for name, value in response.getheaders():
                    if name.lower() not in HOP_BY_HOP:
                        self.send_header(name, value)
                if response.status not in (204, 304):
                    self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                self.wfile.flush()

            def do_POST(self) -> None:
                self.do_GET()

            def do_PUT(self) -> None:
                self.do_GET()

            def handle(self) -> None:
                with suppress(OSError):  # A client or the other server has disconnected.
                    super().handle()

            def finish(self) -> None:
                with suppress(OSError):
                    super().finish()

            def log_message(self, *args: Any) -> None:
                """Write nothing."""

        return Handler
