"""Adapter to django-eventstream: sends environments' events to its channels, and receives events from them.

This is the only module of ``realtime`` that imports django-eventstream (5.3). Each environment has a channel, and the
data of an event is the JSON text that SDKs read. So other subscribers of a channel (a GRIP proxy, a view of
django-eventstream, its Redis fan-out) receive the same event. Workarounds for django-eventstream's behaviour:

1. ``send_event`` with ``EVENTSTREAM_REDIS`` publishes to Redis within the call: it blocks while Redis is slow, raises
   while Redis is unavailable, and reaches the listeners of this process only through Redis. So ``deliver`` gives the
   event directly to these listeners, and a thread of ``RedisBus`` calls ``publish_in_redis``.
2. Its Redis client retries to connect for several seconds, while newer events wait (``use_redis_client``).
3. Its Redis listener ends with its first lost connection. ``RedisBus`` replaces it (``disable_redis_listener``), also
   for channels of other applications.
4. ``send_event`` also publishes to GRIP proxies, from which clients receive the event. So the event of a closed gate,
   which is only for servers, is not sent by it. With ``GRIP_URL`` no event is: ``send_event`` publishes in a thread
   that has no timeout, a queue without a limit, for which the process waits at its exit, and reports no failure.
   ``changes/grip.py`` calls ``publish_to_grip`` instead.
5. An event does not show whether this process sent it. If it did, the event holds the state as of the commit; if not,
   it may be late (``_RemoteEvent``). Its data is text, which each receiver would have to parse (``_Data``).
6. A listener's queue holds ten events, and the *newest* is dropped when it is full. ``EnvironmentListener`` reports
   that, and the state is read again.
7. A listener sets an ``asyncio.Event``, which requires a waiting task. ``EnvironmentListener`` calls a function.
8. A listener whose event loop is closed raises, and the listeners after it receive nothing. ``EnvironmentListener``
   removes itself instead.
"""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import quote

import structlog
from django.dispatch import Signal
from django_eventstream import eventstream, send_event
from django_eventstream.event import Event
from django_eventstream.utils import publish_event
from django_eventstream.views import Listener, get_listener_manager

from realtime.conf import conf
from realtime.types import EPOCH, TICK, EnvironmentKey, EnvironmentState, UpdatedAt, epoch_seconds, reads_as_newer

logger = structlog.get_logger(__name__)

EVENT = "environment_updated"
"""Event type for SDKs: the environment has a new version, and its gate is open."""

CLOSED = "environment_closed"
"""Event type for servers only: the environment has a new version, and its gate is closed."""

CHANNEL_PREFIX = "realtime-environment-"

REDIS_CHANNEL = "events_channel"
"""The Redis channel on which django-eventstream publishes the events of all its channels."""

FIELDS = ("channel", "event_type", "data")

GRIP_SECONDS = 2.0
"""The timeout of a connection to a GRIP proxy, and of its response. A failed request is made once more."""

environment_received = Signal()
"""Sent when an event came over the bus, of this process too: ``key``, the environment's."""


class _Data(str):
    """An event's data: the JSON text, with the state from which it was made."""

    __slots__ = ("state",)

    state: EnvironmentState


class _RemoteEvent(Event):  # type: ignore[misc]
    """An event received from the bus. Another process has sent it, or this one.

    It may be late, repeated or out of order, and its transaction may have closed the gate after writing it. So the
    receiver reads the environment's state before it delivers anything.
    """


class Received(NamedTuple):
    """An event received by the listener of its environment."""

    state: EnvironmentState
    is_remote: bool
    """It came from the bus and may be outdated, so the state has to be read."""


Receive = Callable[[list[Received], bool], None]
"""Called with the events since the last call, and with True if the queue has overflowed and events were dropped."""


def channel(key: EnvironmentKey) -> str:
    """The channel of an environment's events."""
    return CHANNEL_PREFIX + key


def data(updated_at: UpdatedAt) -> str:
    """The event data as JSON: the version in seconds since the epoch, with microseconds. ``parse`` is the inverse."""
    return f'{{"updated_at": {epoch_seconds(updated_at)}}}'


def data_for_sdks(updated_at: UpdatedAt) -> str:
    """The event data that clients receive.

    A version that the Go SDK would parse as newer than itself is printed 1 µs lower. Our own versions are chosen so
    that this does not occur (``first_readable``), but a real Flagsmith's are not.
    """
    return data(updated_at - TICK if reads_as_newer(updated_at) else updated_at)


def parse(text: str) -> UpdatedAt:
    """The version in a text made by ``data``. Raises ValueError for any other text."""
    try:
        seconds = json.loads(text, parse_float=Decimal)["updated_at"]
        return EPOCH + timedelta(microseconds=int(Decimal(seconds) * 1_000_000))
    except (KeyError, TypeError, InvalidOperation, OverflowError) as error:
        raise ValueError(f"no version of an environment: {text!r}") from error


def event(state: EnvironmentState) -> Event:
    """The event that announces this state."""
    text = _Data(data(state.updated_at))
    text.state = state
    return Event(channel(state.key), EVENT if state.streaming_enabled else CLOSED, text)


def deliver(state: EnvironmentState) -> None:
    """Send the event to the listeners of this process."""
    announced = event(state)
    if state.streaming_enabled and eventstream.redis_client is None and not conf.USES_GRIP:
        send_event(announced.channel, announced.type, announced.data, json_encode=False)
    else:
        get_listener_manager().add_to_queues(announced.channel, announced)


def encode(state: EnvironmentState) -> str:
    """The event as text for other processes, about 200 bytes: the JSON that django-eventstream publishes in Redis."""
    announced = event(state)
    return json.dumps(
        {"channel": announced.channel, "event_type": announced.type, "data": announced.data, "pub_id": announced.id}
    )


def receive(text: bytes) -> None:
    """Deliver an event that was received as text to this process's listeners. Raises ValueError if it is invalid."""
    try:
        message = json.loads(text)
    except RecursionError as error:
        raise ValueError("not an event: nested too deeply") from error
    if not isinstance(message, dict) or not all(isinstance(message.get(name), str) for name in FIELDS):
        raise ValueError("not an event: a field is missing or not a string")
    name = message["channel"]
    remote = _RemoteEvent(name, message["event_type"], message["data"], id=message.get("pub_id"))
    get_listener_manager().add_to_queues(name, remote)
    if name.startswith(CHANNEL_PREFIX):
        environment_received.send_robust(sender=None, key=EnvironmentKey(name.removeprefix(CHANNEL_PREFIX)))


def publish_in_redis(state: EnvironmentState) -> None:
    """Publish the event to all processes that share django-eventstream's Redis. It blocks, and may raise."""
    if state.streaming_enabled and not conf.USES_GRIP:
        announced = event(state)
        send_event(announced.channel, announced.type, announced.data, json_encode=False)
    else:
        eventstream.redis_client.publish(REDIS_CHANNEL, encode(state))


def grip_channel(key: EnvironmentKey) -> str:
    """The channel of a GRIP proxy to which django-eventstream publishes an environment's events."""
    return f"events-{quote(channel(key))}"


def publish_to_grip(state: EnvironmentState) -> None:
    """Publish the event to the GRIP proxy, whose clients receive it. It blocks, and may raise."""
    # Imported here, because it reads the settings and makes an HTTP client.
    import django_grip

    for client in django_grip.get_pubcontrol().clients:
        session = client.requests_session
        session.request = partial(type(session).request, session, timeout=GRIP_SECONDS)
    publish_event(channel(state.key), EVENT, data_for_sdks(state.updated_at), None, None, blocking=True)


def disable_redis_listener() -> None:
    """Stop django-eventstream from listening to Redis."""
    get_listener_manager().redis_listener = None


def use_redis_client(client: Any) -> None:
    """Let django-eventstream publish with this client, which retries less and knows clusters and Sentinels."""
    eventstream.redis_client = client


class EnvironmentListener(Listener):  # type: ignore[misc]
    """Passes one environment's events from the sending thread to the event loop in which the listener was made."""

    def __init__(self, key: EnvironmentKey, receive: Receive) -> None:
        super().__init__()
        self.key = key
        self.channels = {channel(key)}
        self.channel_items: dict[str, list[Event]] = {}
        self.overflow = False
        self.loop: asyncio.AbstractEventLoop = asyncio.get_running_loop()
        self._receive = receive

    def wake_threadsafe(self) -> None:
        try:
            self.loop.call_soon_threadsafe(self._collect)
        except RuntimeError:
            # The loop is closed. ``stop`` would deadlock: this method is called with the manager's lock held.
            for name in self.channels:
                get_listener_manager().listeners_by_channel[name].discard(self)

    def start(self) -> None:
        get_listener_manager().add_listener(self)

    def stop(self) -> None:
        get_listener_manager().remove_listener(self)

    def _collect(self) -> None:
        with get_listener_manager().lock:
            queued, self.channel_items = self.channel_items, {}
            overflow, self.overflow = self.overflow, False
        received = [self._received(event) for items in queued.values() for event in items]
        events = [each for each in received if each is not None]
        if events or overflow:
            self._receive(events, overflow)

    def _received(self, event: Event) -> Received | None:
        if event.type not in (EVENT, CLOSED):
            return None
        if isinstance(event.data, _Data):
            return Received(event.data.state, False)
        try:
            state = EnvironmentState(self.key, parse(event.data), event.type == EVENT)
        except ValueError:
            logger.warning("foreign_event", channel=event.channel, data=event.data)
            return None
        return Received(state, True)
