"""The stream endpoint, ``GET /sse/environments/{key}/stream``: as an ASGI application and as a shortcut.

It has no authentication: the key is public. The status is always 200 (docs/wire-protocol.md).
"""

import asyncio
import re

import structlog

from realtime import hosts
from realtime.delivery import limits
from realtime.delivery.sinks import ASGISink, Sink
from realtime.delivery.stream import CLIENT_KINDS, OTHER_CLIENT, ClientKind, Stream
from realtime.http import addresses, drain, grip
from realtime.http.shortcuts import Answerer, Channel
from realtime.types import EnvironmentKey, Message, Receive, Scope, Send

logger = structlog.get_logger(__name__)

# With or without a slash at the end.
PATH = re.compile(r"sse/environments/(?P<key>(?s:.*))/stream/?")


async def stream(scope: Message, receive: Receive, send: Send) -> None:
    """The ASGI application of the endpoint."""
    if drain.must_hand_over(scope):
        await drain.hand_over(send)
        return
    key, kind = _key(scope["url_route"]["kwargs"]["key"]), _kind(scope)
    if (signature := grip.signature(scope)) is not None and await grip.hold(signature, key, kind, send):
        return
    sink = ASGISink(send)
    client = _open(key, scope, sink, kind)
    disconnected = asyncio.create_task(_wait_for_disconnect(receive))
    disconnected.add_done_callback(lambda _: sink.abort())
    try:
        await sink.run()
    except asyncio.CancelledError:
        await sink.finish()
        raise
    finally:
        disconnected.cancel()
        client.connection_lost()


def shortcut(scope: Scope) -> Answerer | None:
    """The endpoint as a shortcut, on the client's connection."""
    match = PATH.fullmatch(scope["path"], 1)
    if match is None or grip.signature(scope) is not None:
        return None
    key, kind = _key(match["key"]), _kind(scope)

    def answer(channel: Channel) -> bool:
        if drain.must_hand_over(scope):
            return False
        full_scope = channel.full_scope() if limits.bounds().counts_addresses else scope
        _open(key, full_scope, channel.take_over(), kind)
        return True

    return answer


def _key(text: str) -> EnvironmentKey:
    # A client may send a text of any length. It is cut to a length that no key has, because the stream keeps it.
    return EnvironmentKey(text[: hosts.MAX_KEY_LENGTH + 1])


def _kind(scope: Message) -> ClientKind:
    agent: bytes = next((value for name, value in scope["headers"] if name == b"user-agent"), b"").lower()
    return next((kind for kind in CLIENT_KINDS if agent.startswith(kind.agent)), OTHER_CLIENT)


def _open(key: EnvironmentKey, scope: Message, sink: Sink, kind: ClientKind) -> Stream:
    drain.install_signal_handlers()
    client = Stream(sink, kind)
    try:
        client.open(key, addresses.of_scope(scope) if limits.bounds().counts_addresses else None)
    except Exception:
        logger.exception("stream_failed", environment=key)
        sink.end()
    return client


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
