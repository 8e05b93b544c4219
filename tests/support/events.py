"""Collects published events as a listener of django-eventstream, without a stream."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from django_eventstream.event import Event
from django_eventstream.views import Listener, get_listener_manager

from realtime.bus import eventstream
from realtime.types import EnvironmentKey, UpdatedAt


class Recorder(Listener):
    """The SDK events of some environments. ``of(environment)`` returns the versions in their order."""

    def __init__(self, keys: Iterable[str]) -> None:
        super().__init__()
        self.channels = {eventstream.channel(EnvironmentKey(key)) for key in keys}
        self.events: list[Event] = []

    def wake_threadsafe(self) -> None:
        """Take the events. django-eventstream calls this in the sending thread, with its manager's lock held."""
        for items in self.channel_items.values():
            self.events += [event for event in items if event.type == eventstream.EVENT]
        self.channel_items = {}

    def of(self, environment: object) -> list[UpdatedAt]:
        channel = eventstream.channel(environment.api_key)  # type: ignore[attr-defined]
        return [eventstream.parse(event.data) for event in self.events if event.channel == channel]

    def clear(self) -> None:
        self.events = []


@contextmanager
def recorded_events(*environments: object) -> Iterator[Recorder]:
    """Collect the events of these environments."""
    recorded = Recorder(environment.api_key for environment in environments)  # type: ignore[attr-defined]
    get_listener_manager().add_listener(recorded)
    try:
        yield recorded
    finally:
        get_listener_manager().remove_listener(recorded)
