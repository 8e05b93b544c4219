"""Adapter to django-eventstream: sends environments' events to its channels, and receives events from them.

Each environment has a channel, and the data of an event is the JSON text that SDKs read. So other subscribers of a
channel (a GRIP proxy, a view of django-eventstream, its Redis fan-out) receive the same event. The event of a closed
gate is only for servers, so no proxy gets it. With ``GRIP_URL`` ``changes/grip.py`` publishes to proxies.
``compat/django_eventstream.py`` lists what is compensated for.

An event does not show whether this process sent it. If it did, the event holds the state as of the commit; if not, it
may be late (``_RemoteEvent``). Its data is text, which each receiver would have to parse (``_Data``).
"""

import json
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from typing import NamedTuple

import structlog
from django.dispatch import Signal
from django_eventstream import send_event

from realtime.compat import django_eventstream as compat
from realtime.compat.django_eventstream import Event
from realtime.conf import conf
from realtime.types import EPOCH, TICK, EnvironmentKey, EnvironmentState, UpdatedAt, epoch_seconds, reads_as_newer

logger = structlog.get_logger(__name__)

EVENT = "environment_updated"
"""Event type for SDKs: the environment has a new version, and its gate is open."""

CLOSED = "environment_closed"
"""Event type for servers only: the environment has a new version, and its gate is closed."""

CHANNEL_PREFIX = "realtime-environment-"

FIELDS = ("channel", "event_type", "data")

GRIP_SECONDS = 2.0
"""The timeout of a connection to a GRIP proxy, and of its response."""

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


def publish_here(state: EnvironmentState) -> None:
    """Send the event to the listeners of this process."""
    announced = event(state)
    if state.streaming_enabled and not compat.uses_redis() and not conf.USES_GRIP:
        send_event(announced.channel, announced.type, announced.data, json_encode=False)
    else:
        compat.deliver(announced)


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
    compat.deliver(remote)
    if name.startswith(CHANNEL_PREFIX):
        environment_received.send_robust(sender=None, key=EnvironmentKey(name.removeprefix(CHANNEL_PREFIX)))


def publish_in_redis(state: EnvironmentState) -> None:
    """Publish the event to all processes that share django-eventstream's Redis. It blocks, and may raise."""
    if state.streaming_enabled and not conf.USES_GRIP:
        announced = event(state)
        send_event(announced.channel, announced.type, announced.data, json_encode=False)
    else:
        compat.publish_in_redis(encode(state))


def grip_channel(key: EnvironmentKey) -> str:
    """The channel of a GRIP proxy to which django-eventstream publishes an environment's events."""
    return compat.grip_channel(channel(key))


def publish_to_grip(state: EnvironmentState) -> None:
    """Publish the event to the GRIP proxy, whose clients receive it. It blocks, and may raise."""
    compat.publish_to_grip(Event(channel(state.key), EVENT, data_for_sdks(state.updated_at)), GRIP_SECONDS)


class EnvironmentListener(compat.DirectListener):
    """Passes one environment's events from the sending thread to the event loop in which the listener was made."""

    def __init__(self, key: EnvironmentKey, receive: Receive) -> None:
        super().__init__(channel(key))
        self.key = key
        self._receive = receive

    def received(self, events: list[Event], overflow: bool) -> None:
        received = [each for each in map(self._received, events) if each is not None]
        if received or overflow:
            self._receive(received, overflow)

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
