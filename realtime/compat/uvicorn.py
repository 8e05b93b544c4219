"""Uvicorn (tested: 0.54.0, 0.55.0): its HTTP protocol, its server and its supervisor of processes, for subclasses.

Public in uvicorn are ``Config``, ``Server.run`` and the option ``http``, which takes a protocol class. Also used:

* ``HttpToolsProtocol``: its callbacks and attributes. ``LazyProtocol`` lists those that subclasses read: directly,
  because a method would cost a call per request.
* ``RequestResponseCycle``: its arguments, and what the protocol reads and writes of one (``Cycle``).
* ``ServerState``: ``connections`` (the server waits for them at its end, and calls their ``shutdown``),
  ``total_requests``, and ``default_headers``, a new list each second.
* ``Server``: ``servers`` after ``startup``, the order of ``shutdown``, and the signals that ``capture_signals`` keeps.
* ``Multiprocess``: its processes with their pipes, and the methods that its loop calls.
"""

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.protocols.utils import get_local_addr, get_remote_addr, is_ssl
from uvicorn.server import ServerState as ServerState
from uvicorn.supervisors import Multiprocess

from realtime.compat.httptools import RequestParser


class Cycle:
    """A request whose response does not come from the application, in the place of uvicorn's request/response cycle.

    It has what uvicorn's protocol uses of a cycle. Uvicorn appends to ``body``, and sets ``more_body`` at its end.
    """

    response_complete = False
    disconnected = False
    keep_alive = True
    body = b""
    more_body = False

    @property
    def message_event(self) -> "Cycle":
        return self

    def set(self) -> None:
        """Called by uvicorn when a part of the body or its end has come, or when the client has disconnected."""


class CompletedCycle(Cycle):
    """A request whose response is complete."""

    response_complete = True


COMPLETED_CYCLE = CompletedCycle()


class LazyProtocol(HttpToolsProtocol):
    """Uvicorn's protocol, initialised by ``begin`` instead of by its constructor.

    Uvicorn's parser, loggers, events and addresses take more memory per connection than a stream. A connection whose
    only requests are in the cache of ``protocol.py`` needs none of them.
    """

    # Uvicorn's initial values. Subclasses may read these, and ``transport``, ``loop``, ``config``, ``server_state``,
    # ``url`` and ``expect_100_continue``.
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

    def with_connection(self, scope: dict[str, Any]) -> dict[str, Any]:
        """The ASGI scope with the connection's part. The transport must be open."""
        if self.client is None:
            self.client = get_remote_addr(self.transport)
        scheme, server = self.endpoint()
        connection = {"scheme": scheme, "server": server, "client": self.client, "state": self.app_state.copy()}
        return {**scope, **connection, "headers": [*scope["headers"]]}

    def endpoint(self) -> Any:
        """The scheme and the server address that the client has connected to."""
        if self.scheme is None:
            self.scheme = "https" if is_ssl(self.transport) else "http"
            self.server = get_local_addr(self.transport)
        return self.scheme, self.server

    def is_free(self) -> bool:
        """Whether no request is under way on the connection, and its write buffer is not full."""
        cycle, flow = self.cycle, self.flow
        if flow is not None and (self.pipeline or flow.write_paused):
            return False
        return cycle is None or bool(cycle.response_complete)

    def run_application(self, request: Cycle, scope: dict[str, Any]) -> None:
        """Let the application respond to this request by ASGI. Its body must be complete."""
        if self.transport.is_closing():
            return
        self.begin()
        cycle = RequestResponseCycle(
            scope=self.with_connection(scope),  # type: ignore[arg-type]
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=request.keep_alive,
            on_response=self.on_response_complete,
        )
        cycle.body = bytearray(request.body)
        cycle.more_body = False
        cycle.message_event.set()
        if self.cycle is request:
            self.cycle = cycle
        self._start_asgi_task(cycle, self.app)

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self.connections.add(self)

    def data_received(self, data: bytes) -> None:
        self.begin()
        super().data_received(data)

    def pause_writing(self) -> None:
        self.begin()
        super().pause_writing()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.timeout_keep_alive_task is not None:
            self._unset_keepalive_if_required()
            self.await_next_request()

    def await_next_request(self) -> None:
        """Called in place of uvicorn's keep-alive timer, which ends at any byte, whether or not it begins a request."""


class Server(uvicorn.Server):
    """A server in one process, which owns its listening sockets."""

    def listens(self) -> None:
        """Called when the sockets listen."""

    async def before_closing(self) -> None:
        """Called before the sockets are closed."""

    def listening_sockets(self) -> Iterator[socket.socket]:
        for server in self.servers:
            for listening in server.sockets:
                # uvloop's own socket objects do not support setsockopt.
                with socket.socket(fileno=socket.dup(listening.fileno())) as duplicate:
                    yield duplicate

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """As uvicorn's, which raises the signal again after the shutdown. Here a clean shutdown has exit status 0."""
        with super().capture_signals():
            yield
            self._captured_signals.clear()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.listens()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        await self.before_closing()
        await super().shutdown(sockets)


class Supervisor(Multiprocess):
    """The supervisor of several processes that share a listening socket.

    ``restarts_on_hup``: SIGHUP restarts the workers; otherwise they get it.
    """

    def __init__(self, config: uvicorn.Config, sockets: list[socket.socket], *, restarts_on_hup: bool = True) -> None:
        super().__init__(config, sockets)
        self._restarts_on_hup = restarts_on_hup
        self._terminated: set[int | None] = set()

    def handle_hup(self) -> None:
        if self._restarts_on_hup:
            super().handle_hup()
            return
        for worker in self.processes:
            if worker.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGHUP)

    def terminate_all(self) -> None:
        """Send SIGTERM to the workers that have not got it. A second one would abort their graceful shutdown."""
        for worker in self.processes:
            # A rolling restart has terminated a worker whose pipe is closed.
            if worker.pid not in self._terminated and not worker.parent_conn.closed:
                self._terminated.add(worker.pid)
                worker.process.terminate()

    def terminate_again(self) -> None:
        """Send SIGTERM to all workers, also to those that have got it."""
        for worker in self.processes:
            worker.process.terminate()

    def keep_subprocess_alive(self) -> None:
        for worker in self.processes:
            # While the parent holds the worker's end of the pipe, the pipe stays open after the worker has exited, and
            # the parent waits for its answer until the health check times out.
            worker.child_conn.close()
        super().keep_subprocess_alive()
