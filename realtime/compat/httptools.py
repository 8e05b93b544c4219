"""httptools (tested: 0.9.0): a parser that continues where httptools stops.

Used beside its public API: the position in ``HttpParserUpgrade.args``, and ``set_dangerous_leniencies`` (0.6.3).
"""

from typing import Any

import httptools


class RequestParser(httptools.HttpRequestParser):
    """Request parser that ignores ``Upgrade`` (RFC 9110, 7.8) and CONNECT: this server changes no protocol.

    httptools stops after the head of such a request, as if it had no body, and reports how far it has read. The head is
    then parsed again without ``Upgrade``. Uvicorn would drop the rest, so body and later requests would be lost.
    """

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol)
        self._protocol = protocol
        # As in uvicorn: a request after one with "Connection: close" is no error.
        self.set_dangerous_leniencies(lenient_data_after_close=True)

    def feed_data(self, data: Any) -> None:
        while True:
            try:
                super().feed_data(data)
                return
            except httptools.HttpParserUpgrade as stopped:
                data = data[stopped.args[0] :]
                if self.parses_again():
                    super().feed_data(self._head_without_upgrade())

    def parses_again(self) -> bool:
        """Return whether the request's head will be parsed again, so that its callbacks have to be ignored."""
        return self.should_upgrade() and self.get_method() != b"CONNECT"

    def _head_without_upgrade(self) -> bytes:
        line = b"%b %b HTTP/%b\r\n" % (self.get_method(), self._protocol.url, self.get_http_version().encode())
        headers = [b"%b: %b\r\n" % header for header in self._protocol.headers if header[0] != b"upgrade"]
        return b"".join([line, *headers, b"\r\n"])
