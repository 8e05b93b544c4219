"""Endpoint of the streams, ``GET /sse/environments/{key}/stream``: as an ASGI application and as a shortcut.

Anybody may call it: the key is public. It answers 200 whatever happens (docs/wire-protocol.md).
"""

import asyncio
import re

import structlog

from realtime import hosts
from realtime.delivery import limits
from realtime.delivery.sinks import ASGISink, Sink
from realtime.delivery.stream import CLIENT_KINDS, OTHER_CLIENT, ClientKind, Stream
from realtime.http import addresses, drain
from realtime.http.shortcuts import Answerer, Channel
from realtime.types import EnvironmentKey, Message, Receive, Scope, Send

logger = structlog.get_logger(__name__)

# Any query string will do, and a slash at the end.
PATH = re.compile(r"sse/environments/(?P<key>(?s:.*))/stream/?")


async def stream(scope: Message, receive: Receive, send: Send) -> None:
    """The ASGI application of ``GET /sse/environments/{key}/stream``. Anybody may call it: the key is public."""
    if drain.must_hand_over(scope):
        await drain.hand_over(send)
        return
    sink = ASGISink(send)
    client = _open(_key(scope["url_route"]["kwargs"]["key"]), scope, sink, _kind(scope))
    gone = asyncio.create_task(_disconnected(receive))
    gone.add_done_callback(lambda _: sink.abort())
    try:
        await sink.run()
    except asyncio.CancelledError:
        await sink.finish()
        raise
    finally:
        gone.cancel()
        client.connection_lost()


def shortcut(scope: Scope) -> Answerer | None:
    """The same on the client's connection itself."""
    match = PATH.fullmatch(scope["path"], 1)
    if match is None:
        return None
    key, kind = _key(match["key"]), _kind(scope)

    def answer(channel: Channel) -> bool:
        if drain.must_hand_over(scope):
            return False
        whole = channel.whole_scope() if limits.bounds().counts_addresses else scope
        _open(key, whole, channel.take_over(), kind)
        return True

    return answer


def _key(text: str) -> EnvironmentKey:
    # Nothing has a longer key, so none of it need be kept: it may be any text of the client's.
    return EnvironmentKey(text[: hosts.MAX_KEY_LENGTH + 1])


def _kind(scope: Message) -> ClientKind:
    agent: bytes = next((value for name, value in scope["headers"] if name == b"user-agent"), b"").lower()
    return next((kind for kind in CLIENT_KINDS if agent.startswith(kind.agent)), OTHER_CLIENT)


def _open(key: EnvironmentKey, scope: Message, sink: Sink, kind: ClientKind) -> Stream:
    drain.prepare()
    client = Stream(sink, kind)
    try:
        client.open(key, addresses.of_scope(scope) if limits.bounds().counts_addresses else None)
    except Exception:
        logger.exception("stream_failed", environment=key)
        sink.end()
    return client


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
