"""Formats Server-Sent Events as seven official SDKs parse them.

Their parsers accept less than the standard (https://html.spec.whatwg.org/multipage/server-sent-events.html): one event
name, one data line, a space after each colon, a number with a decimal point, and only ``event``, ``data`` and comments.
Only browsers get a ``retry`` field, too. docs/wire-protocol.md names the SDK behind each rule.
"""

from realtime.bus.eventstream import EVENT, data_for_sdks
from realtime.types import UpdatedAt

KEEPALIVE = b":\n\n"

# Milliseconds until a browser's EventSource reconnects. Chromium's default is three seconds.
RETRY = b"retry: 1000\n"

# Apple's URL loading system may buffer the first 512 bytes of a response.
PADDING = b":" + b" " * 512 + b"\n"


def frame(updated_at: UpdatedAt) -> bytes:
    """The complete event."""
    return f"event: {EVENT}\ndata: {data_for_sdks(updated_at)}\n\n".encode()


def comment(text: str) -> bytes:
    """A comment, for people who read the stream with curl. SDKs ignore it."""
    return b": " + " ".join(text.split()).encode() + b"\n\n"
