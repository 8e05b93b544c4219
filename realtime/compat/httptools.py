"""httptools (tested: 0.9.0): a parser that continues where httptools stops.

Used beside its public API: the position in ``HttpParserUpgrade.args``, and ``set_dangerous_leniencies`` (0.6.3).
"""

from typing import Any

import httptools


class RequestParser(httptools.HttpRequestParser):
    """Request parser that continues after a request with ``Upgrade`` or CONNECT: this server changes no protocol.

    httptools stops there and reports how far it has read. Uvicorn drops the rest, so later requests get no response.
    """

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol)
        # As in uvicorn: a request after one with "Connection: close" is no error.
        self.set_dangerous_leniencies(lenient_data_after_close=True)

    def feed_data(self, data: Any) -> None:
        while True:
            try:
                super().feed_data(data)
                return
            except httptools.HttpParserUpgrade as stopped:
                data = data[stopped.args[0] :]
