"""A connection that becomes uvicorn's only when there is something for uvicorn to do.

Its parser, its loggers, its events and the two addresses cost a connection more than a whole stream costs. A client
whose bytes are known (``protocol.py``) needs none of that.
"""

import asyncio
import logging
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl


class RequestParser(httptools.HttpRequestParser):
    """Request parser that continues behind a request with ``Upgrade`` or CONNECT: this server changes no protocol.

    httptools stops there and says how far it has read. Uvicorn drops the rest, so its requests are never answered.
    """

    def __init__(self, protocol: Any) -> None:
        super().__init__(protocol)
        # As uvicorn has it: a request behind one with "Connection: close" is no error.
        if hasattr(self, "set_dangerous_leniencies"):
            self.set_dangerous_leniencies(lenient_data_after_close=True)

    def feed_data(self, data: Any) -> None:
        while True:
            try:
                super().feed_data(data)
                return
            except httptools.HttpParserUpgrade as stopped:
                data = data[stopped.args[0] :]


class LateProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, whose initialisation waits until ``begin``."""

    # As uvicorn has them when nothing has come yet.
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
        """Be uvicorn's from now on. The transport must be alive."""
        if self.flow is None:
            cycle, transport = self.cycle, self.transport
            super().__init__(self.config, self.server_state, self.app_state, self.loop)
            self.parser = RequestParser(self)
            self.cycle = cycle
            super().connection_made(transport)

    def addresses(self) -> dict[str, Any]:
        """What a scope says of the connection. The transport must be alive."""
        if self.client is None:
            self.client = get_remote_addr(self.transport)
        scheme, server = self.place()
        return {"scheme": scheme, "server": server, "client": self.client}

    def place(self) -> Any:
        """Where the client has connected to: the scheme and the address."""
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
