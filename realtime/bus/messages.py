"""An event as text between processes: the JSON that django-eventstream publishes in Redis."""

import json

from django_eventstream.event import Event

from realtime.events import RemoteEvent

FIELDS = ("channel", "event_type", "data")


def encode(event: Event) -> str:
    """The event's text; about 200 bytes for an environment's."""
    return json.dumps({"channel": event.channel, "event_type": event.type, "data": event.data, "pub_id": event.id})


def decode(text: bytes) -> RemoteEvent:
    """The event of a text that came over the bus. Raises ValueError if the text is not an event."""
    try:
        message = json.loads(text)
    except RecursionError as error:
        raise ValueError("not an event: nested too deeply") from error
    if not isinstance(message, dict) or not all(isinstance(message.get(name), str) for name in FIELDS):
        raise ValueError("not an event: a field is missing or no text")
    return RemoteEvent(message["channel"], message["event_type"], message["data"], id=message.get("pub_id"))
