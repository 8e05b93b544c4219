"""Shortcuts: the registry of requests that are answered on their connection, ahead of ASGI.

For the requests of very many clients. ASGI costs a request its cycle, its task and the router before an application is
called; a shortcut is called by the parser. Requests that are not plain (``ShortcutProtocol``), and servers without
``protocol.py``, get the same responses by ASGI.

SDKs repeat the same bytes. So a shortcut inspects a GET once and returns a handler for all requests of the same bytes;
``protocol.py`` caches it.
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from realtime.delivery.sinks import Sink
from realtime.types import Scope


class DeferredResponse(Protocol):
    """The response to a request, sent later. Those to later requests on the connection wait for it."""

    def reply(self, head: bytes, body: bytes) -> None:
        """Send the response. ``head``: the status line and the headers, without those that depend on the connection."""

    def fall_back(self) -> None:
        """Let the application respond by ASGI."""


class Deferrable(Protocol):
    """A request without a response."""

    def defer(self) -> DeferredResponse:
        """Respond later. Is called once."""


class Channel(Deferrable, Protocol):
    """The connection of a plain GET without a response. Either ``defer`` or ``take_over`` is called, once."""

    def take_over(self) -> Sink:
        """Turn the connection into a stream's sink."""

    def full_scope(self) -> Scope:
        """The request's scope with what depends on the connection. Only before the calls above."""


Answerer = Callable[[Channel], bool]
"""True: it responds, now or later. False: the application does, this time. It must not raise or wait."""

Shortcut = Callable[[Scope], Answerer | None]
"""Takes a request's ASGI scope without what depends on one client. Returns a handler for this request and all others of
the same bytes. None: the application responds. It must not raise or wait."""

PostShortcut = Callable[[Scope, bytes, DeferredResponse], bool]
"""Takes a POST's scope and its complete body. True: it responds, now or later; False: the application does. It must not
raise or wait."""


class RegisteredShortcut(NamedTuple):
    shortcut: Shortcut
    any_endpoint: bool


registered_gets: dict[bytes, RegisteredShortcut] = {}

registered_posts: dict[bytes, PostShortcut] = {}

# A POST with a longer body takes no shortcut.
MAX_POST_BYTES = 4096


def add_get(prefix: bytes, shortcut: Shortcut, *, any_endpoint: bool = False) -> None:
    """Register ``shortcut`` for the plain GETs of paths with this prefix.

    ``any_endpoint``: it reads neither the scope's scheme nor its server address.
    """
    registered_gets[prefix] = RegisteredShortcut(shortcut, any_endpoint)


def add_post(prefix: bytes, shortcut: PostShortcut) -> None:
    """Register ``shortcut`` for the plain POSTs of paths with this prefix that have a small Content-Length."""
    registered_posts[prefix] = shortcut
