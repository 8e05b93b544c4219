"""Adapter to django-eventstream: environments' events, sent to its channels and received from them.

This is the only module of ``realtime`` that imports django-eventstream (5.3). Each environment has a channel, and the
data of an event is the JSON text that SDKs read. So whatever else subscribes to a channel (a GRIP proxy, a view of
django-eventstream, its Redis fan-out) receives the same event. Where django-eventstream does not do what is needed:

1. ``send_event`` with ``EVENTSTREAM_REDIS`` publishes in Redis within the call: it waits while Redis is slow, raises
   while Redis is away, and reaches the listeners of this process only by way of Redis. So ``deliver`` gives the event
   to these listeners itself, and a thread of ``RedisBus`` calls ``publish_in_redis``.
2. Its Redis client tries for several seconds to connect again, while newer events wait (``shorten_retries``).
3. Its Redis listener ends for ever with its first connection. ``RedisBus`` takes its place
   (``disable_redis_listener``), for channels that are not ours too.
4. ``send_event`` also publishes to GRIP proxies, from which clients receive the event. So the event of a closed gate,
   which is for servers alone, is never sent by it.
5. An event does not show whether it was sent by this process, in which case it is the state as of its commit, or may
   be late (``_RemoteEvent``). Its data is text, which each receiver would have to parse again (``_Data``).
6. A listener has room for ten events, and then the *newest* is dropped. ``EnvironmentListener`` reports that, and the
   state is read again.
7. A listener sets an ``asyncio.Event``, so it needs a task that waits. ``EnvironmentListener`` calls a function.
8. A listener whose event loop has been closed raises, and the listeners behind it receive nothing.
   ``EnvironmentListener`` removes itself instead.
"""

import asyncio
import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

import structlog
from django_eventstream import eventstream, send_event
from django_eventstream.event import Event
from django_eventstream.views import Listener, get_listener_manager

from realtime.types import EPOCH, EnvironmentKey, EnvironmentState, UpdatedAt, epoch_seconds

logger = structlog.get_logger(__name__)

EVENT = "environment_updated"
"""The type of an event for SDKs: the environment has a new version, and its gate is open."""

CLOSED = "environment_closed"
"""The type of an event that is for servers alone: the environment has a new version, and its gate is closed."""

CHANNEL_PREFIX = "realtime-environment-"

REDIS_CHANNEL = "events_channel"
"""Redis's name for the channel that carries all of django-eventstream's channels."""

FIELDS = ("channel", "event_type", "data")


class _Data(str):
    """An event's data: the JSON text, and the state that it was made from."""

    __slots__ = ("state",)

    state: EnvironmentState


class _RemoteEvent(Event):  # type: ignore[misc]
    """An event that came over the bus, from another process or back from this one.

    It may be late, repeated or out of order, and a transaction may have closed the gate after it wrote the event. So it
    is a hint: the receiver reads the environment's state before it delivers anything.
    """


class Received(NamedTuple):
    """An environment's event, as its listener receives it."""

    state: EnvironmentState
    is_remote: bool
    """It may be late, or out of order: the database decides."""


Receive = Callable[[list[Received], bool], None]
"""Called with the events since the last call, and whether some were dropped."""


def channel(key: EnvironmentKey) -> str:
    """The channel of an environment's events."""
    return CHANNEL_PREFIX + key


def data(updated_at: UpdatedAt) -> str:
    """The version as JSON, in seconds since the epoch with all microseconds. ``parse`` reads it back exactly."""
    return f'{{"updated_at": {epoch_seconds(updated_at)}}}'


def parse(text: str) -> UpdatedAt:
    """The version that ``data`` wrote. Raises ValueError for anything else."""
    try:
        seconds = json.loads(text, parse_float=Decimal)["updated_at"]
        return EPOCH + timedelta(microseconds=int(Decimal(seconds) * 1_000_000))
    except (KeyError, TypeError, InvalidOperation, OverflowError) as error:
        raise ValueError(f"not an environment's version: {text!r}") from error


def event(state: EnvironmentState) -> Event:
    """The event that announces this state."""
    text = _Data(data(state.updated_at))
    text.state = state
    return Event(channel(state.key), EVENT if state.streaming_enabled else CLOSED, text)


def deliver(state: EnvironmentState) -> None:
    """Send the event to the listeners of this process, and, if the gate is open, to GRIP proxies."""
    announced = event(state)
    if state.streaming_enabled and eventstream.redis_client is None:
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
    """Give an event that came as text to the listeners of this process. Raises ValueError if it is no event."""
    try:
        message = json.loads(text)
    except RecursionError as error:
        raise ValueError("not an event: nested too deeply") from error
    if not isinstance(message, dict) or not all(isinstance(message.get(name), str) for name in FIELDS):
        raise ValueError("not an event: a field is missing or no text")
    name = message["channel"]
    remote = _RemoteEvent(name, message["event_type"], message["data"], id=message.get("pub_id"))
    get_listener_manager().add_to_queues(name, remote)


def publish_in_redis(state: EnvironmentState) -> None:
    """Publish the event to all processes that share django-eventstream's Redis. Waits for Redis, and may raise."""
    if state.streaming_enabled:
        announced = event(state)
        send_event(announced.channel, announced.type, announced.data, json_encode=False)
    else:
        eventstream.redis_client.publish(REDIS_CHANNEL, encode(state))


def disable_redis_listener() -> None:
    """Let django-eventstream not listen to Redis itself."""
    get_listener_manager().redis_listener = None


def shorten_retries(timeouts: dict[str, Any]) -> None:
    """Let django-eventstream's Redis client connect again once, at once, with these timeouts, and then give up.

    The second attempt is needed: a connection that Redis has closed while nobody used it shows only at the next use.
    """
    from redis.backoff import NoBackoff
    from redis.retry import Retry

    eventstream.redis_client.set_retry(Retry(NoBackoff(), 1))
    eventstream.redis_client.get_connection_kwargs().update(timeouts)


class EnvironmentListener(Listener):  # type: ignore[misc]
    """Brings one environment's events from whichever thread sent them into the event loop that made it."""

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
            # The loop is closed. Not ``stop``, which would wait for the manager's lock: it is held here.
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
