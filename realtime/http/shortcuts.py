"""Requests that are answered on their connection itself, ahead of ASGI: what very many clients ask at once.

ASGI costs a request its cycle, its task and the router before any application sees it. What is registered here is
asked first, in the parser's own call. Requests that are anything but plain, and servers without ``protocol.py``, take
the ordinary way to the same answers.

SDKs send the very same bytes again and again. So a shortcut looks at a GET once, and what it returns answers all that
are equal, byte for byte (``protocol.py`` remembers them).
"""

from collections.abc import Callable
from typing import NamedTuple, Protocol

from realtime.delivery.sinks import Sink
from realtime.types import Scope


class Held(Protocol):
    """A request that is answered later, ahead of those that come behind it on its connection."""

    def reply(self, head: bytes, body: bytes) -> None:
        """Answer. ``head`` is the status line and the headers, without those that belong to the connection."""

    def give_back(self) -> None:
        """Let the application answer by ASGI."""


class Channel(Protocol):
    """The connection of one plain GET that nobody has answered yet. One of the first two is called, once."""

    def hold(self) -> Held: ...

    def take_over(self) -> Sink:
        """The connection is a stream's from now on."""

    def whole_scope(self) -> Scope:
        """The request's scope with what belongs to its connection, while nothing else has been called."""


Answerer = Callable[[Channel], bool]
"""True: it answers, now or later. False: the application does, this time. It must not raise or wait."""

Shortcut = Callable[[Scope], Answerer | None]
"""Takes a request's scope, as ASGI has it but for what belongs to one client. What it returns answers this request,
and all with the same bytes; None: the application answers. It must not raise or wait."""

CallShortcut = Callable[[Scope, bytes, Held], bool]
"""Takes a POST's scope and its whole body. True: it answers, now or later; False: the application does. As above."""


class Registered(NamedTuple):
    shortcut: Shortcut
    everywhere: bool


registered: dict[bytes, Registered] = {}

calls: dict[bytes, CallShortcut] = {}

# Bytes of a body that is waited for on its connection.
MAX_CALL_BYTES = 4096


def add(prefix: bytes, shortcut: Shortcut, *, everywhere: bool = False) -> None:
    """Ask ``shortcut`` for each plain GET of a path that begins so.

    ``everywhere``: it looks neither at the scope's scheme nor at the address that the client has connected to.
    """
    registered[prefix] = Registered(shortcut, everywhere)


def add_call(prefix: bytes, shortcut: CallShortcut) -> None:
    """Ask ``shortcut`` for each plain POST of a path that begins so, whose body has a length, and a small one."""
    calls[prefix] = shortcut
