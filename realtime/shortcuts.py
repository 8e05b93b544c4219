"""Requests that are answered on their connection itself, ahead of ASGI: what very many clients ask at once.

ASGI costs a request its cycle, its task and the router before any application sees it. What is registered here is
asked first, in the parser's own call. Requests that are anything but plain, and servers without ``protocol.py``, take
the ordinary way to the same answers.
"""

from collections.abc import Callable
from typing import Any, Protocol

from realtime.sinks import Sink

Scope = dict[str, Any]


class Held(Protocol):
    """A request that is answered later, ahead of those that come behind it on its connection."""

    def reply(self, head: bytes, body: bytes) -> None:
        """Answer. ``head`` is the status line and the headers, without those that belong to the connection."""

    def give_back(self) -> None:
        """Let the application answer by ASGI."""


class Channel(Protocol):
    """The connection of one plain GET that nobody has answered yet. One of these may be called, once."""

    def hold(self, scope: Scope) -> Held: ...

    def take_over(self) -> Sink:
        """The connection is a stream's from now on."""


Shortcut = Callable[[Scope, Channel], bool]
"""Takes a request's scope, as ASGI has it. True: it answers, now or later. It must not raise or wait."""

registered: dict[bytes, Shortcut] = {}


def add(prefix: bytes, shortcut: Shortcut) -> None:
    """Ask ``shortcut`` for each plain GET of a path that begins so."""
    registered[prefix] = shortcut
