"""Creates uvicorn's protocol state lazily, when a request needs it.

Uvicorn's parser, loggers, events and addresses take more memory per connection than a stream. A connection whose only
requests are in the cache of ``protocol.py`` needs none of them.
"""

import asyncio
import logging
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl


class RequestParser(httptools.HttpRequestParser):
    """Request parser that continues after a request with ``Upgrade`` or CONNECT: this server changes no protocol.

    httptools stops there and reports how far it has read. Uvicorn drops the rest, so later requests get no response.
    """

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol)
        # As in uvicorn: a request after one with "Connection: close" is no error.
        if hasattr(self, "set_dangerous_leniencies"):
            self.set_dangerous_leniencies(lenient_data_after_close=True)

    def feed_data(self, data: Any) -> None:
        while True:
            try:
                super().feed_data(data)
                return
            except httptools.HttpParserUpgrade as stopped:
                data = data[stopped.args[0] :]


class LazyProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, initialised by ``begin`` instead of by its constructor."""

    # Uvicorn's initial values.
    cycle: Any = None
    flow: Any = None
    parser: Any = None
    scope: Any = None
    headers: Any = None
    pipeline: Any = ()
    server = client = scheme = None
    timeout_keep_alive_task = None
    logger = logging.getLogger("uvicorn.error")

    def __init__(
        self, config: Any, server_state: Any, app_state: dict[str, Any], _loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self.config = config
        self.server_state = server_state
        self.app_state = app_state
        self.loop = _loop or asyncio.get_running_loop()
        self.connections = server_state.connections

    def begin(self) -> None:
        """Initialise uvicorn's protocol, unless that has happened. The transport must be open."""
        if self.flow is None:
            cycle, transport = self.cycle, self.transport
            super().__init__(self.config, self.server_state, self.app_state, self.loop)
            self.parser = RequestParser(self)
            self.cycle = cycle
            super().connection_made(transport)

    def connection_scope(self) -> dict[str, Any]:
        """The connection's part of an ASGI scope. The transport must be open."""
        if self.client is None:
            self.client = get_remote_addr(self.transport)
        scheme, server = self.endpoint()
        return {"scheme": scheme, "server": server, "client": self.client}

    def endpoint(self) -> Any:
        """The scheme and the server address that the client has connected to."""
        if self.scheme is None:
            self.scheme = "https" if is_ssl(self.transport) else "http"
            self.server = get_local_addr(self.transport)
        return self.scheme, self.server

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self.begin()
        super().data_received(data)

    def pause_writing(self) -> None:
        self.begin()
        super().pause_writing()
