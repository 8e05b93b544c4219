"""The stream endpoints, as ASGI applications and as shortcuts.

``GET /sse/environments/{key}/stream`` is for Flagsmith's SDKs, ``GET /ofrep/v1/streams/{key}`` for OpenFeature
providers. They have no authentication: the key is public. The status is always 200 (docs/wire-protocol.md).
"""

import asyncio
import re
from collections.abc import Callable
from typing import NamedTuple

import structlog

from realtime import hosts
from realtime.delivery import limits
from realtime.delivery.ofrep_stream import OFREPStream
from realtime.delivery.sinks import ASGISink, Sink
from realtime.delivery.stream import CLIENT_KINDS, OTHER_CLIENT, ClientKind, Stream
from realtime.http import addresses, drain, grip
from realtime.http.shortcuts import Answerer, Channel
from realtime.types import EnvironmentKey, Message, Receive, Scope, Send

logger = structlog.get_logger(__name__)

NewStream = Callable[[Sink], Stream]


class StreamEndpoint(NamedTuple):
    """One of the endpoints."""

    path: re.Pattern[str]
    """Without the slash at its beginning, and with or without one at its end."""

    new_stream: Callable[[Message], NewStream]
    """Returns the constructor of the stream for a request of this scope."""

    is_held_by_proxies: bool = False
    """A GRIP proxy may hold its streams: what it gets is published in the format of this endpoint."""

    async def application(self, scope: Message, receive: Receive, send: Send) -> None:
        """The ASGI application of the endpoint."""
        if drain.must_hand_over(scope):
            await drain.hand_over(send)
            return
        key, signature = _key(scope["url_route"]["kwargs"]["key"]), self._signature(scope)
        if signature is not None and await grip.hold(signature, key, _kind(scope), send):
            return
        sink = ASGISink(send)
        await serve(key, scope, receive, self.new_stream(scope)(sink), sink)

    def shortcut(self, scope: Scope) -> Answerer | None:
        """The endpoint as a shortcut, on the client's connection."""
        match = self.path.fullmatch(scope["path"], 1)
        if match is None or self._signature(scope) is not None:
            return None
        key, new_stream = _key(match["key"]), self.new_stream(scope)

        def answer(channel: Channel) -> bool:
            if drain.must_hand_over(scope):
                return False
            full_scope = channel.full_scope() if limits.counts_addresses() else scope
            sink = channel.take_over()
            _open(key, full_scope, new_stream(sink), sink)
            return True

        return answer

    def _signature(self, scope: Scope | Message) -> bytes | None:
        return grip.signature(scope) if self.is_held_by_proxies else None


def _kind(scope: Message) -> ClientKind:
    agent = _header(scope, b"user-agent").lower()
    return next((kind for kind in CLIENT_KINDS if agent.startswith(kind.agent)), OTHER_CLIENT)


def _sdk_stream(scope: Message) -> NewStream:
    kind = _kind(scope)
    return lambda sink: Stream(sink, kind)


def _ofrep_stream(scope: Message) -> NewStream:
    last_event_id = _header(scope, b"last-event-id").decode("latin-1")
    return lambda sink: OFREPStream(sink, last_event_id)


SDK = StreamEndpoint(re.compile(r"sse/environments/(?P<key>(?s:.*))/stream/?"), _sdk_stream, is_held_by_proxies=True)
OFREP = StreamEndpoint(re.compile(r"ofrep/v1/streams/(?P<key>(?s:.*?))/?"), _ofrep_stream)


def _key(text: str) -> EnvironmentKey:
    # A client may send a text of any length. It is cut to a length that no key has, because the stream keeps it.
    return EnvironmentKey(text[: hosts.MAX_KEY_LENGTH + 1])


def _header(scope: Message, name: bytes) -> bytes:
    """The first value of the header; empty without one."""
    return next((value for header, value in scope["headers"] if header == name), b"")


async def serve(key: EnvironmentKey, scope: Message, receive: Receive, stream: Stream, sink: ASGISink) -> None:
    """Respond with this stream, until it ends or the client disconnects."""
    client = _open(key, scope, stream, sink)
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


def _open(key: EnvironmentKey, scope: Message, client: Stream, sink: Sink) -> Stream:
    drain.install_signal_handlers()
    try:
        client.open(key, addresses.of_scope(scope) if limits.counts_addresses() else None)
    except Exception:
        logger.exception("stream_failed", environment=key)
        sink.end()
    return client


async def _wait_for_disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
