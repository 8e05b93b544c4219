"""The ASGI lifespan: a server that speaks it (uvicorn) starts the hub before the first client comes."""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from realtime import drain, hub

Message = MutableMapping[str, Any]


async def lifespan(
    scope: Message, receive: Callable[[], Awaitable[Message]], send: Callable[[Message], Awaitable[None]]
) -> None:
    """The ASGI application of the ``lifespan`` scope. Servers without it (daphne) start the hub with a stream."""
    await receive()
    hub.current()
    drain.prepare()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await hub.current().close()
    await send({"type": "lifespan.shutdown.complete"})
