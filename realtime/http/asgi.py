"""The types of ASGI: what an application is called with."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
# Of a scope, a Receive and a Send. Libraries type these three with mappings of their own.
Application = Callable[[Any, Any, Any], Awaitable[None]]
