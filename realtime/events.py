"""What is said of an environment, in django-eventstream's words: one channel each, one kind of event."""

from django_eventstream.event import Event

from realtime import sse
from realtime.types import EnvironmentKey, EnvironmentState

EVENT = "environment_updated"

CHANNEL_PREFIX = "realtime-environment-"


def channel(key: EnvironmentKey) -> str:
    """The channel of an environment's events."""
    return CHANNEL_PREFIX + key


def event(state: EnvironmentState) -> Event:
    """The event that tells this state."""
    return Event(channel(state.key), EVENT, sse.data(state.updated_at))
