"""Uvicorn's HTTP, with shortcuts ahead of ASGI; ``manage.py serve`` gives it to uvicorn."""

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from realtime import shortcuts
from realtime.heads import BoundedHeads
from realtime.shortcuts import Scope
from realtime.transport import Connection


class HeldRequest:
    """A request that a shortcut answers later. To uvicorn it is the connection's request under way."""

    def __init__(self, protocol: "ShortcutProtocol", scope: Scope, keep_alive: bool) -> None:
        self.response_complete = False
        self.disconnected = False
        self.keep_alive = keep_alive
        # Uvicorn tells a request's body so; there is none.
        self.body = bytearray()
        self.more_body = True
        self._protocol = protocol
        self._scope = scope

    @property
    def message_event(self) -> "HeldRequest":
        return self

    def set(self) -> None:
        """Nobody waits for the request's body, or for its end."""

    def reply(self, head: bytes, body: bytes) -> None:
        """Answer. ``head`` is the status line and the headers, without those that belong to the connection."""
        if self.disconnected:
            return
        self.response_complete = True
        self._protocol.reply(head, body, self.keep_alive)

    def give_back(self) -> None:
        """Let the application answer by ASGI."""
        if not self.disconnected:
            self._protocol.take_back(self, self._scope)


class Answered:
    """To uvicorn: a request that nobody waits for."""

    response_complete = True


ANSWERED = Answered()


class ShortcutProtocol(BoundedHeads):
    """Uvicorn's protocol with shortcuts: a ``Channel`` for each request."""

    cycle: Any
    _taken = False

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._taken:
            # They name each other: without this they stay until the garbage is collected.
            self.parser = self.scope = None  # type: ignore[assignment]

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # A held request and its protocol name each other too.
        self.cycle = None

    # What comes behind a stream's request is no request any more: neither awaited nor complained of.

    def on_message_begin(self) -> None:
        if not self._taken:
            super().on_message_begin()

    def send_400_response(self, msg: str) -> None:
        if not self._taken:
            super().send_400_response(msg)

    def on_headers_complete(self) -> None:
        if self._taken:
            return
        if self._is_plain() and self._takes_shortcut():
            self._head_is_there()
        else:
            super().on_headers_complete()

    def hold(self, scope: Scope) -> HeldRequest:
        """The request, to be answered later, ahead of those that come behind it."""
        held = self.cycle = HeldRequest(self, scope, self.parser.should_keep_alive())
        return held

    def take_over(self) -> Connection:
        # As far as uvicorn sees, this request has been answered, and the connection is gone.
        self._taken = True
        self.cycle = ANSWERED
        self.connections.discard(self)
        self.server_state.total_requests += 1
        return Connection(self.transport, self.server_state)

    def reply(self, head: bytes, body: bytes, keep_alive: bool) -> None:
        own = [b"%b: %b\r\n" % header for header in self.server_state.default_headers]
        if not keep_alive:
            own.append(b"connection: close\r\n")
        self.transport.write(b"".join([head, *own, b"\r\n", body]))
        if not keep_alive:
            self.transport.close()
        self.on_response_complete()

    def take_back(self, held: HeldRequest, scope: Scope) -> None:
        cycle = RequestResponseCycle(
            scope=scope,  # type: ignore[arg-type]
            transport=self.transport,
            flow=self.flow,
            logger=self.logger,
            access_logger=self.access_logger,
            access_log=self.access_log,
            default_headers=self.server_state.default_headers,
            message_event=asyncio.Event(),
            expect_100_continue=False,
            keep_alive=held.keep_alive,
            on_response=self.on_response_complete,
        )
        # The whole request is there.
        cycle.more_body = False
        cycle.message_event.set()
        if self.cycle is held:
            self.cycle = cycle
        self._start_asgi_task(cycle, self.app)

    def _is_plain(self) -> bool:
        """Nothing is under way on the connection, and the client reads."""
        parser = self.parser
        return bool(
            (self.cycle is None or self.cycle.response_complete)
            and not self.pipeline
            and not self.flow.write_paused
            and parser.get_method() == b"GET"
            and parser.get_http_version() == "1.1"
            and not parser.should_upgrade()
        )

    def _takes_shortcut(self) -> bool:
        url = self.url
        for prefix, shortcut in shortcuts.registered.items():
            if url.startswith(prefix):
                path, _, query = url.partition(b"?")
                if not path.isascii() or b"%" in path or b"#" in url:
                    return False
                scope: Scope = self.scope  # type: ignore[assignment]
                scope.update(method="GET", path=path.decode("ascii"), raw_path=path, query_string=query)
                return shortcut(scope, self)
        return False
