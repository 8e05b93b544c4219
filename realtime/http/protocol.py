"""Uvicorn's HTTP protocol with shortcuts ahead of ASGI. ``manage.py serve`` configures uvicorn with it."""

from typing import Any, NamedTuple, TypeVar

from django.core.signals import setting_changed
from django.dispatch import receiver

from realtime.compat.uvicorn import COMPLETED_CYCLE, Cycle
from realtime.http import shortcuts, shutdown
from realtime.http.request_cache import RequestCache
from realtime.http.request_limits import BODY_HEADERS, LimitedRequests
from realtime.http.shortcuts import Answerer, PostShortcut
from realtime.http.transport import Connection
from realtime.types import Scope

T = TypeVar("T")

# When the server stops: the time in which the headers of a request that has begun, or of a new connection's, arrive.
LAST_HEADERS_SECONDS = 1.0

# A Content-Length of more digits is not parsed: it is over the limit.
MAX_LENGTH_DIGITS = 18

# A longer GET is not cached. Most have a few hundred bytes, browsers' one or two thousand.
MAX_CACHED_BYTES = 2_048

HEADERS_END = b"\r\n\r\n"


class CachedRequest(NamedTuple):
    """A plain GET, and the shortcut's handler for it."""

    answer: Answerer
    scope: Scope
    """Without what depends on the connection."""
    keep_alive: bool
    endpoint: Any
    """The scheme and server address that the handler is for; None: any."""


cached_requests: RequestCache[CachedRequest] = RequestCache(1_000)
"""The latest requests by all their bytes. With these limits it takes at most about 15 MB."""


@receiver(setting_changed)
def _clear_cache(**kwargs: Any) -> None:
    cached_requests.clear()


class DeferredRequest(Cycle):
    """A request whose response a shortcut sends later."""

    def __init__(self, protocol: "ShortcutProtocol", scope: Scope, keep_alive: bool) -> None:
        self.keep_alive = keep_alive
        self._protocol = protocol
        self._scope = scope

    def reply(self, head: bytes, body: bytes) -> None:
        """Send the response. ``head``: the status line and the headers, without those that depend on the connection."""
        self.response_complete = True
        if not self.disconnected:
            self._protocol.reply(head, body, self.keep_alive)

    def fall_back(self) -> None:
        """Let the application respond by ASGI."""
        if not self.disconnected:
            self._protocol.run_application(self, self._scope)


class DeferredPost(DeferredRequest):
    """A deferred request with a body. Uvicorn appends to ``body``; the shortcut is called when it is complete."""

    more_body = True

    def __init__(self, protocol: "ShortcutProtocol", scope: Scope, keep_alive: bool, shortcut: PostShortcut) -> None:
        super().__init__(protocol, scope, keep_alive)
        self._shortcut: PostShortcut | None = shortcut

    def set(self) -> None:
        shortcut = self._shortcut
        if self.more_body or self.disconnected or shortcut is None:
            return
        self._shortcut = None
        if not shortcut(self._scope, bytes(self.body), self):
            self.fall_back()


class ShortcutProtocol(LimitedRequests):
    """Uvicorn's protocol with shortcuts: the ``Channel`` of each request."""

    _is_stream = False
    _between_requests = True
    """The parser has seen the end of a request, and no byte of the next one."""
    _request: CachedRequest | None = None
    """The current request, while a shortcut may answer it."""

    def data_received(self, data: bytes) -> None:
        may_be_cached = self._between_requests and len(data) <= MAX_CACHED_BYTES
        if (
            may_be_cached
            and (request := cached_requests.get(data)) is not None
            and self.is_free()
            and self._matches_endpoint(request)
        ):
            self._request = request
            self._headers_received()
            if request.answer(self):
                return
        self._request = None
        super().data_received(data)
        if may_be_cached and self._request is not None and self._is_one_request(data):
            cached_requests.put(data, self._request)
        if self._is_stream:
            # Break the reference cycles, which would stay in memory until a garbage collection.
            self.parser = self.scope = None

    def shutdown(self) -> None:
        if self._awaits_headers:
            self.loop.call_later(LAST_HEADERS_SECONDS, self._shut_down)
        else:
            self._shut_down()

    def _shut_down(self) -> None:
        # The stream's ``Connection`` has a shutdown of its own.
        if not self._is_stream:
            super().shutdown()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        # Break the reference cycle with a deferred request.
        self.cycle = None

    # Input after a stream's request is ignored: it neither starts a request nor causes an error.

    def on_message_begin(self) -> None:
        self._between_requests = False
        if not self._is_stream:
            super().on_message_begin()

    def on_message_complete(self) -> None:
        if self.parser.parses_again():
            return
        super().on_message_complete()
        self._between_requests = True

    def send_400_response(self, msg: str) -> None:
        if not self._is_stream:
            super().send_400_response(msg)

    def on_headers_complete(self) -> None:
        if self._is_stream or self.parser.parses_again():
            return
        # First, because a response that is sent at once sets the next deadline.
        self._headers_received()
        if not (self._is_plain() and self._takes_shortcut()):
            super().on_headers_complete()

    def defer(self) -> DeferredRequest:
        """Respond later. Responses to later requests on the connection wait for it."""
        assert self._request is not None
        deferred = self.cycle = DeferredRequest(self, self._request.scope, self._request.keep_alive)
        return deferred

    def full_scope(self) -> Scope:
        assert self._request is not None
        return self.with_connection(self._request.scope)

    def take_over(self) -> Connection:
        # For uvicorn the response is complete, and the connection is closed.
        self._is_stream = True
        self.cycle = COMPLETED_CYCLE
        self._drop_deadline()
        self.connections.discard(self)
        self.server_state.total_requests += 1
        return Connection(self.transport, self.server_state)

    def reply(self, head: bytes, body: bytes, keep_alive: bool) -> None:
        if self.transport.is_closing():
            return
        keep_alive = keep_alive and not shutdown.in_progress()
        self.transport.write(_last_response.join(head, body, self.server_state.default_headers, keep_alive))
        if not keep_alive:
            self.transport.close()
        if self.flow is None or not (self.pipeline or self.flow.read_paused):
            self.server_state.total_requests += 1
            self.await_next_request()
        else:
            self.on_response_complete()

    def _is_plain(self) -> bool:
        """Whether a shortcut may answer: HTTP/1.1, no upgrade, and a free connection."""
        return self.is_free() and self.parser.get_http_version() == "1.1" and not self.parser.should_upgrade()

    def _is_one_request(self, data: bytes) -> bool:
        """Whether the data is exactly one request without a body."""
        ends = data.find(HEADERS_END) == len(data) - len(HEADERS_END)
        return ends and not any(name in BODY_HEADERS for name, _ in self.headers)

    def _matches_endpoint(self, request: CachedRequest) -> bool:
        return request.endpoint is None or request.endpoint == self.endpoint()

    def _takes_shortcut(self) -> bool:
        method = self.parser.get_method()
        if method == b"GET":
            return self._takes_get()
        if method != b"POST":
            return False
        shortcut = self._registered(shortcuts.registered_posts)
        if shortcut is None or not self._has_small_body():
            return False
        self.cycle = DeferredPost(self, self._plain_scope("POST"), self.parser.should_keep_alive(), shortcut)
        return True

    def _takes_get(self) -> bool:
        registered = self._registered(shortcuts.registered_gets)
        if registered is None:
            return False
        # Without what differs between the clients of equal requests.
        scope = {name: value for name, value in self._plain_scope("GET").items() if name not in ("client", "state")}
        answer = registered.shortcut(scope)
        if answer is None:
            return False
        endpoint = None if registered.any_endpoint else self.endpoint()
        self._request = CachedRequest(answer, scope, self.parser.should_keep_alive(), endpoint)
        if answer(self):
            return True
        self._request = None
        return False

    def _registered(self, registered: dict[bytes, T]) -> T | None:
        """The shortcut registered for the request's path; None also if the path has to be decoded."""
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
            and len(lengths[0]) <= MAX_LENGTH_DIGITS
            and int(lengths[0]) <= shortcuts.MAX_POST_BYTES
        )


class LastResponse:
    """The last response joined with the server's headers, for the equal responses of a refetch load."""

    def __init__(self) -> None:
        self._parts: tuple[Any, ...] = ()
        self._joined = b""

    def join(self, head: bytes, body: bytes, headers: list[tuple[bytes, bytes]], keep_alive: bool) -> bytes:
        last = self._parts
        # By identity, because comparing equal bytes costs time.
        if last and last[0] is head and last[1] is body and last[2] is headers and last[3] is keep_alive:
            return self._joined
        own = [b"%b: %b\r\n" % header for header in headers]
        if not keep_alive:
            own.append(b"connection: close\r\n")
        self._parts = (head, body, headers, keep_alive)
        self._joined = b"".join([head, *own, b"\r\n", body])
        return self._joined


_last_response = LastResponse()
