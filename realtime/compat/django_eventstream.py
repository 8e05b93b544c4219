"""django-eventstream (tested: 5.3.4): events to and from the listeners of its channels, in Redis and at GRIP proxies.

``send_event`` and the settings are public. Also used: ``Event``; the listener manager with its lock, its listeners by
channel and its Redis listener; ``eventstream.redis_client``; ``publish_event``, and the HTTP session of django-grip's
clients. What this changes of its behaviour:

1. ``send_event`` with ``EVENTSTREAM_REDIS`` publishes to Redis within the call: it blocks while Redis is slow, raises
   while Redis is unavailable, and reaches the listeners of this process only through Redis. So ``deliver`` gives the
   event directly to these listeners, and a thread of ``RedisBus`` publishes.
2. Its Redis client retries to connect for several seconds, while newer events wait (``use_redis_client``).
3. Its Redis listener ends with its first lost connection. ``RedisBus`` replaces it (``disable_redis_listener``), also
   for channels of other applications.
4. ``send_event`` also publishes to GRIP proxies, from which clients receive the event, and with ``GRIP_URL`` in a
   thread that has no timeout, a queue without a limit, for which the process waits at its exit, and that reports no
   failure. ``publish_to_grip`` has a timeout and raises.
5. A listener's queue holds ten events, and the *newest* is dropped when it is full. ``DirectListener`` reports that.
6. A listener sets an ``asyncio.Event``, which requires a waiting task. ``DirectListener`` calls a method.
7. A listener whose event loop is closed raises, and the listeners after it receive nothing. ``DirectListener`` removes
   itself instead.
"""

import asyncio
from functools import partial
from typing import Any
from urllib.parse import quote

from django_eventstream import eventstream
from django_eventstream.event import Event as Event
from django_eventstream.utils import publish_event
from django_eventstream.views import Listener, get_listener_manager

REDIS_CHANNEL = "events_channel"
"""The Redis channel on which the events of all channels are published."""


def deliver(event: Event) -> None:
    """Give the event to the listeners of this process. Thread-safe."""
    get_listener_manager().add_to_queues(event.channel, event)


def uses_redis() -> bool:
    """Whether ``send_event`` publishes in Redis only."""
    return eventstream.redis_client is not None


def publish_in_redis(message: str) -> None:
    """Publish an event's JSON to all processes that share the Redis. It blocks, and may raise."""
    eventstream.redis_client.publish(REDIS_CHANNEL, message)


def use_redis_client(client: Any) -> None:
    """Let django-eventstream publish with this client, which retries less and knows clusters and Sentinels."""
    eventstream.redis_client = client


def disable_redis_listener() -> None:
    """Stop django-eventstream from listening to Redis."""
    get_listener_manager().redis_listener = None


def grip_channel(channel: str) -> str:
    """The channel of a GRIP proxy to which the events of this channel are published."""
    return f"events-{quote(channel)}"


def publish_to_grip(event: Event, timeout: float) -> None:
    """Publish the event to the GRIP proxies. It blocks, and may raise.

    ``timeout``: the seconds for a connection, and for its response. A failed request is made once more.
    """
    # Imported here, because it reads the settings and makes an HTTP client.
    import django_grip

    for client in django_grip.get_pubcontrol().clients:
        session = client.requests_session
        session.request = partial(type(session).request, session, timeout=timeout)
    publish_event(event.channel, event.type, event.data, None, None, blocking=True)


class DirectListener(Listener):  # type: ignore[misc]
    """Passes one channel's events from the sending thread to the event loop in which the listener was made."""

    def __init__(self, channel: str) -> None:
        super().__init__()
        self.channels = {channel}
        self.channel_items: dict[str, list[Event]] = {}
        self.overflow = False
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()

    def start(self) -> None:
        get_listener_manager().add_listener(self)

    def stop(self) -> None:
        get_listener_manager().remove_listener(self)

    def received(self, events: list[Event], overflow: bool) -> None:
        """Called in the event loop, with the events since the last call, and True if events were dropped."""
        raise NotImplementedError

    def wake_threadsafe(self) -> None:
        try:
            self.loop.call_soon_threadsafe(self._collect)
        except RuntimeError:
            # The loop is closed. ``stop`` would deadlock: this method is called with the manager's lock held.
            for name in self.channels:
                get_listener_manager().listeners_by_channel[name].discard(self)

    def _collect(self) -> None:
        with get_listener_manager().lock:
            queued, self.channel_items = self.channel_items, {}
            overflow, self.overflow = self.overflow, False
        self.received([event for events in queued.values() for event in events], overflow)
