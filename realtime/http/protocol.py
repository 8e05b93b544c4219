"""Uvicorn's HTTP, with shortcuts ahead of ASGI; ``manage.py serve`` gives it to uvicorn."""

import asyncio
from typing import Any, NamedTuple, TypeVar

from django.core.signals import setting_changed
from django.dispatch import receiver
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from realtime.http import ending, shortcuts
from realtime.http.heads import BODY_HEADERS, BoundedHeads
from realtime.http.memo import Memo
from realtime.http.shortcuts import Answerer, CallShortcut
from realtime.http.transport import Connection
from realtime.types import Scope

T = TypeVar("T")

# When the server stops: seconds in which a request that has begun, or that a new connection is about to send, is there.
LAST_HEAD_SECONDS = 1.0

# Digits of a length that is worth reading.
DIGITS = 18

# Bytes of a GET that is worth remembering. Most are a few hundred; browsers' take one or two thousand.
MAX_KNOWN_BYTES = 2_048

HEAD_END = b"\r\n\r\n"


class Known(NamedTuple):
    """A plain GET that a shortcut answers."""

    answer: Answerer
    scope: Scope
    """Without what belongs to one connection."""
    keep_alive: bool
    place: Any
    """The scheme and the address that it is so for; None: it is so everywhere."""


known: Memo[Known] = Memo(1_000)
"""Those that came lately, by all their bytes. With these limits it takes no more than some 15 MB."""


@receiver(setting_changed)
def _forget(**kwargs: Any) -> None:
    known.clear()


class HeldRequest:
    """A request that a shortcut answers later. To uvicorn it is the connection's request under way."""

    response_complete = False
    disconnected = False
    # Uvicorn tells a request's body so.
    body = b""
    more_body = False

    def __init__(self, protocol: "ShortcutProtocol", scope: Scope, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self._protocol = protocol
        self._scope = scope

    @property
    def message_event(self) -> "HeldRequest":
        return self

    def set(self) -> None:
        """Nobody waits for the request's body, or for its end."""

    def reply(self, head: bytes, body: bytes) -> None:
        """Answer. ``head`` is the status line and the headers, without those that belong to the connection."""
        self.response_complete = True
        if not self.disconnected:
            self._protocol.reply(head, body, self.keep_alive)

    def give_back(self) -> None:
        """Let the application answer by ASGI."""
        if not self.disconnected:
            self._protocol.take_back(self, self._scope)


class HeldCall(HeldRequest):
    """The same with a body: uvicorn adds to it what comes, and the shortcut is asked when all is there."""

    more_body = True

    def __init__(self, protocol: "ShortcutProtocol", scope: Scope, keep_alive: bool, shortcut: CallShortcut) -> None:
        super().__init__(protocol, scope, keep_alive)
        self._shortcut: CallShortcut | None = shortcut

    def set(self) -> None:
        """More has come, or the end of it, or the client has gone."""
        shortcut = self._shortcut
        if self.more_body or self.disconnected or shortcut is None:
            return
        self._shortcut = None
        if not shortcut(self._scope, bytes(self.body), self):
            self.give_back()


class Answered:
    """To uvicorn: a request that nobody waits for."""

    response_complete = True


ANSWERED = Answered()


class ShortcutProtocol(BoundedHeads):
    """Uvicorn's protocol with shortcuts: a ``Channel`` for each request."""

    _taken = False
    _between = True
    """The parser has seen the end of a request, and nothing behind it."""
    _request: Known | None = None
    """What a shortcut answers, of the requests that came last."""

    def data_received(self, data: bytes) -> None:
        between = self._between and len(data) <= MAX_KNOWN_BYTES
        if between and (request := known.get(data)) is not None and self._is_free() and self._is_for_here(request):
            self._request = request
            self._head_is_there()
            if request.answer(self):
                return
        self._request = None
        super().data_received(data)
        if between and self._request is not None and self._is_whole(data):
            known.put(data, self._request)
        if self._taken:
            # They name each other: without this they stay until the garbage is collected.
            self.parser = self.scope = None

    def shutdown(self) -> None:
        if self._head_awaited:
            self.loop.call_later(LAST_HEAD_SECONDS, self._shut_down)
        else:
            self._shut_down()

    def _shut_down(self) -> None:
        # A stream ends by itself.
        if not self._taken:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # A held request and its protocol name each other too.
        self.cycle = None

    # What comes behind a stream's request is no request any more: neither awaited nor complained of.

    def on_message_begin(self) -> None:
        self._between = False
        if not self._taken:
            super().on_message_begin()

    def on_message_complete(self) -> None:
        super().on_message_complete()
        self._between = True

    def send_400_response(self, msg: str) -> None:
        if not self._taken:
            super().send_400_response(msg)

    def on_headers_complete(self) -> None:
        if self._taken:
            return
        # First of all: what is answered here may have another deadline at once.
        self._head_is_there()
        if not (self._is_plain() and self._takes_shortcut()):
            super().on_headers_complete()

    def hold(self) -> HeldRequest:
        """The request, to be answered later, ahead of those that come behind it."""
        assert self._request is not None
        held = self.cycle = HeldRequest(self, self._request.scope, self._request.keep_alive)
        return held

    def whole_scope(self) -> Scope:
        assert self._request is not None
        return self._whole(self._request.scope)

    def take_over(self) -> Connection:
        # As far as uvicorn sees, this request has been answered, and the connection is gone.
        self._taken = True
        self.cycle = ANSWERED
        self._drop_deadline()
        self.connections.discard(self)
        self.server_state.total_requests += 1
        return Connection(self.transport, self.server_state)

    def reply(self, head: bytes, body: bytes, keep_alive: bool) -> None:
        if self.transport.is_closing():
            return
        keep_alive = keep_alive and not ending.in_progress()
        self.transport.write(_written.whole(head, body, self.server_state.default_headers, keep_alive))
        if not keep_alive:
            self.transport.close()
        if self.flow is None or not (self.pipeline or self.flow.read_paused):
            self.server_state.total_requests += 1
            self._await_next()
        else:
            self.on_response_complete()

    def take_back(self, held: HeldRequest, scope: Scope) -> None:
        if self.transport.is_closing():
            return
        self.begin()
        cycle = RequestResponseCycle(
            scope=self._whole(scope),  # type: ignore[arg-type]
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
        cycle.body = bytearray(held.body)
        cycle.more_body = False
        cycle.message_event.set()
        if self.cycle is held:
            self.cycle = cycle
        self._start_asgi_task(cycle, self.app)

    def _is_plain(self) -> bool:
        """Nothing is under way on the connection, and the client reads."""
        return self._is_free() and self.parser.get_http_version() == "1.1" and not self.parser.should_upgrade()

    def _is_free(self) -> bool:
        cycle, flow = self.cycle, self.flow
        if flow is not None and (self.pipeline or flow.write_paused):
            return False
        return cycle is None or bool(cycle.response_complete)

    def _is_whole(self, data: bytes) -> bool:
        """The whole of one request, and of no other: no body follows."""
        ends = data.find(HEAD_END) == len(data) - len(HEAD_END)
        return ends and not any(name in BODY_HEADERS for name, _ in self.headers)

    def _is_for_here(self, request: Known) -> bool:
        return request.place is None or request.place == self.place()

    def _whole(self, scope: Scope) -> Scope:
        return {**scope, **self.addresses(), "headers": [*scope["headers"]], "state": self.app_state.copy()}

    def _takes_shortcut(self) -> bool:
        method = self.parser.get_method()
        if method == b"GET":
            return self._takes_get()
        if method != b"POST":
            return False
        call = self._registered(shortcuts.calls)
        if call is None or not self._has_small_body():
            return False
        self.cycle = HeldCall(self, self._plain_scope("POST"), self.parser.should_keep_alive(), call)
        return True

    def _takes_get(self) -> bool:
        registered = self._registered(shortcuts.registered)
        if registered is None:
            return False
        # Others' requests may be equal, but their clients are not.
        scope = {name: value for name, value in self._plain_scope("GET").items() if name not in ("client", "state")}
        answer = registered.shortcut(scope)
        if answer is None:
            return False
        place = None if registered.everywhere else self.place()
        self._request = Known(answer, scope, self.parser.should_keep_alive(), place)
        if answer(self):
            return True
        self._request = None
        return False

    def _registered(self, registered: dict[bytes, T]) -> T | None:
        """What is registered for the request's path, if nothing in that has to be decoded."""
        url = self.url
        for prefix, shortcut in registered.items():
            if url.startswith(prefix):
                path = url.partition(b"?")[0]
                return shortcut if path.isascii() and b"%" not in path and b"#" not in url else None
        return None

    def _plain_scope(self, method: str) -> Scope:
        path, _, query = self.url.partition(b"?")
        scope: Scope = self.scope
        scope.update(method=method, path=path.decode("ascii"), raw_path=path, query_string=query)
        return scope

    def _has_small_body(self) -> bool:
        lengths = [value for name, value in self.headers if name in BODY_HEADERS]
        return (
            not self.expect_100_continue
            and len(lengths) == 1
            and lengths[0].isdigit()
            and len(lengths[0]) <= DIGITS
            and int(lengths[0]) <= shortcuts.MAX_CALL_BYTES
        )


class Written:
    """The last answer with the server's own headers: a herd gets one and the same."""

    def __init__(self) -> None:
        self._of: tuple[Any, ...] = ()
        self._whole = b""

    def whole(self, head: bytes, body: bytes, headers: list[tuple[bytes, bytes]], keep_alive: bool) -> bytes:
        of = self._of
        # The very same objects, which is as good as equal ones, and costs nothing to find out.
        if of and of[0] is head and of[1] is body and of[2] is headers and of[3] is keep_alive:
            return self._whole
        own = [b"%b: %b\r\n" % header for header in headers]
        if not keep_alive:
            own.append(b"connection: close\r\n")
        self._of = (head, body, headers, keep_alive)
        self._whole = b"".join([head, *own, b"\r\n", body])
        return self._whole


_written = Written()
