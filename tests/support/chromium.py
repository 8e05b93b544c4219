"""Chromium, and a server of test pages."""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from playwright.sync_api import Browser, sync_playwright

from tests.support import programs

# Without a sandbox, which root cannot use, and without connections to other servers than those under test.
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


@contextmanager
def chromium(*flags: str) -> Iterator[Browser]:
    """The distribution's Chromium, without a window.

    No other event loop can run in this thread at the same time, so enter it for the tests of one module at most.
    """
    executable = programs.require("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, headless=True, args=[*FLAGS, *flags])
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def pages(contents: Mapping[str, tuple[str, bytes]]) -> Iterator[str]:
    """Serve pages (path to content type and content) on a free port. Yields the origin."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content_type, content = contents.get(self.path, ("text/plain", b""))
            self.send_response(200 if self.path in contents else 404)
            self.send_header("Content-Type", content_type)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Write nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, name="pages", daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
