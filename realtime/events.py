"""An environment's state as an event of django-eventstream: one channel for each environment."""

from django_eventstream.event import Event

from realtime import sse
from realtime.types import EnvironmentKey, EnvironmentState

EVENT = "environment_updated"
"""The type of an event for SDKs: the environment has a new version, and its gate is open."""

CLOSED = "environment_closed"
"""The type of an event that is for the servers alone: the environment has a new version, and its gate is closed."""

CHANNEL_PREFIX = "realtime-environment-"


class RemoteEvent(Event):  # type: ignore[misc]
    """An event that came over the bus, from another process or back from this one.

    It may be late, repeated or out of order, and a transaction may have closed the gate after it wrote the event. So it
    is a hint: the receiver reads the environment's state before it delivers anything.
    """


def channel(key: EnvironmentKey) -> str:
    """The channel of an environment's events."""
    return CHANNEL_PREFIX + key


def event(state: EnvironmentState) -> Event:
    """The event that announces this state."""
    return Event(channel(state.key), EVENT if state.live else CLOSED, sse.data(state.updated_at))
