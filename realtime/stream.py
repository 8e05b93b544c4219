"""The stream itself: a raw ASGI application, one call for each client.

Whatever happens, a client gets 200 and a clean end. Of six SDKs one stops for good after any other status, two hammer
the server, and one never comes back after a connection that breaks (docs/wire-protocol.md).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

import structlog

from realtime import drain, hub, sse
from realtime.conf import conf
from realtime.types import EnvironmentKey, UpdatedAt

logger = structlog.get_logger(__name__)

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

HEADERS = [
    (b"content-type", b"text/event-stream"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
    (b"x-content-type-options", b"nosniff"),
    (b"access-control-allow-origin", b"*"),
]

# The terminating chunk, sent whatever happened: a cut would lose the client for good.
END: Message = {"type": "http.response.body", "body": b"", "more_body": False}

# uvloop's timers count milliseconds, and one may fire that much too early.
TIMER_SECONDS = 0.002

# Clients that show a response only once it has ended: the Ruby SDK reads with Faraday.
LONG_POLLERS = b"faraday"


class Stream:
    """One client's stream, and its mailbox of one place in which the latest frame waits to be written."""

    def __init__(self, send: Send, long_poll: bool) -> None:
        loop = asyncio.get_running_loop()
        self.subscribed_at = loop.time()
        # A random fifth less, so that streams opened by one herd do not end as one.
        self.ends_at: float = self.subscribed_at + conf.STREAM_SECONDS * random.uniform(0.8, 1.0)  # noqa: S311
        self._loop = loop
        self._send = send
        self._long_poll = long_poll
        self._wrote_at = self.subscribed_at
        self._woken = asyncio.Event()
        self._waiting = b""
        self._written: UpdatedAt | None = None
        self._offered: UpdatedAt | None = None
        self._connected: UpdatedAt | None = None

    def deliver(self, frame: bytes, updated_at: UpdatedAt) -> None:
        self._waiting = frame
        self._offered = updated_at
        self._woken.set()

    def end_by(self, when: float) -> None:
        self.ends_at = min(self.ends_at, when)
        self._woken.set()

    async def run(self, key: EnvironmentKey) -> None:
        """Everything between the headers and the end."""
        await self._write(sse.PADDING + sse.comment("Flagsmith real-time updates"))
        with hub.current().subscription(key, self) as topic:
            # Subscribed first, read then: nothing can fall between the two.
            served = await self._write_present_state(topic)
            if not served:
                await self._write(sse.comment("the state cannot be read at the moment; it follows as soon as it can"))
            while not self._is_over() and not (self._long_poll and self._has_news()):
                keepalive_at = self._wrote_at + conf.KEEPALIVE_SECONDS
                await self._wait_until(keepalive_at if served else self._loop.time() + conf.RECONCILE_SECONDS)
                if not served:
                    served = await self._write_present_state(topic)
                elif self._waiting:
                    await self._write_waiting()
                if self._loop.time() > self._wrote_at + conf.KEEPALIVE_SECONDS - TIMER_SECONDS and not self._is_over():
                    await self._write(sse.KEEPALIVE)

    async def _write_present_state(self, topic: hub.Topic) -> bool:
        """Write the newest event, or a comment that says why there is none. False when the database cannot say."""
        asked = topic.hub.reader.ask(topic.key)
        await asyncio.wait([asked], timeout=conf.RECONCILE_SECONDS)
        if not asked.done() or asked.exception() is not None:
            return False
        state = asked.result()
        if state is None or not state.live:
            # What came while we read was sent before the gate closed, and is not to be heard any more.
            self._waiting = b""
        if state is None:
            await self._write(sse.comment("no environment has this key; nothing will be sent"))
        elif not state.live:
            await self._write(sse.comment("real-time updates are off for this project; see its SDK settings"))
        else:
            topic.offer(state)
            if topic.updated_at is not None and self._offered != topic.updated_at:
                self.deliver(topic.frame, topic.updated_at)
            self._connected = self._offered
            await self._write_waiting()
        return True

    def _is_over(self) -> bool:
        return self._loop.time() > self.ends_at - TIMER_SECONDS

    def _has_news(self) -> bool:
        return self._written is not None and (self._connected is None or self._written > self._connected)

    async def _wait_until(self, when: float) -> None:
        """Wait for a delivery or for an earlier end, at most until then."""
        timer = self._loop.call_at(min(when, self.ends_at), self._woken.set)
        try:
            await self._woken.wait()
        finally:
            timer.cancel()
        self._woken.clear()

    async def _write_waiting(self) -> None:
        frame, self._waiting = self._waiting, b""
        self._written = self._offered
        await self._write(frame)

    async def _write(self, body: bytes) -> None:
        """One write, one chunk: two SDKs lose an event that is split."""
        await self._send({"type": "http.response.body", "body": body, "more_body": True})
        self._wrote_at = self._loop.time()


async def stream(scope: Message, receive: Receive, send: Send) -> None:
    """The ASGI application of ``GET /sse/environments/{key}/stream``. Anybody may call it: the key is public."""
    key = EnvironmentKey(scope["url_route"]["kwargs"]["key"])
    agent = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
    drain.prepare()
    closing = [(b"connection", b"close")] if hub.current().draining else []
    await send({"type": "http.response.start", "status": 200, "headers": HEADERS + closing})
    client = Stream(send, long_poll=agent.lower().startswith(LONG_POLLERS))
    gone = asyncio.create_task(_disconnected(receive))
    gone.add_done_callback(lambda _: client.end_by(float("-inf")))
    try:
        # A client that reads nothing holds up its own writes, past its age; it is given up after another one.
        async with asyncio.timeout_at(client.ends_at + conf.STREAM_SECONDS):
            await client.run(key)
            await send(END)
    except asyncio.CancelledError:
        await send(END)
        raise
    except TimeoutError:
        # Not even the end can be written to it. The server closes the connection.
        logger.info("stalled_client_given_up", environment=key)
    except Exception:
        logger.exception("stream_failed", environment=key)
        await send(END)
    finally:
        gone.cancel()


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
