"""Server-Sent Events as seven official SDKs read them (https://html.spec.whatwg.org/multipage/server-sent-events.html).

Their parsers are narrower than the standard: one event name, one data line, a space after each colon, a number that
has a decimal point, and nothing but ``event``, ``data`` and comments; browsers alone get a ``retry`` as well.
docs/wire-protocol.md names the SDK behind each.
"""

from realtime.bus.eventstream import EVENT, data
from realtime.types import TICK, UpdatedAt, reads_as_newer

KEEPALIVE = b":\n\n"

# Milliseconds until a browser's EventSource connects again. Without it Chromium waits for three seconds.
RETRY = b"retry: 1000\n"

# Apple's URL loading may hold back the first 512 bytes of a response.
PADDING = b":" + b" " * 512 + b"\n"


def frame(updated_at: UpdatedAt) -> bytes:
    """The whole event as SDKs get it. Written in one piece: two SDKs lose an event that is split.

    A version that the Go SDK would read as newer than itself is printed 1 µs lower. Versions of our own are chosen so
    that this does not occur; a Flagsmith chooses any.
    """
    printed = updated_at - TICK if reads_as_newer(updated_at) else updated_at
    return f"event: {EVENT}\ndata: {data(printed)}\n\n".encode()


def comment(text: str) -> bytes:
    """A line for the person with curl; every SDK passes over it."""
    return b": " + " ".join(text.split()).encode() + b"\n\n"
