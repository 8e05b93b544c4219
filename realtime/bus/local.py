"""The end of every bus: django-eventstream's listener manager of this process."""

from django_eventstream.event import Event
from django_eventstream.views import get_listener_manager


def deliver(event: Event) -> None:
    """Give the event to whoever listens to its channel here, as django-eventstream does."""
    get_listener_manager().add_to_queues(event.channel, event)
