"""Server-Sent Events as seven official SDKs read them (https://html.spec.whatwg.org/multipage/server-sent-events.html).

Their parsers are narrower than the standard: one event name, one data line, a space after each colon, a number that
has a decimal point, and nothing but ``event``, ``data`` and comments; browsers alone get a ``retry`` as well.
docs/wire-protocol.md names the SDK behind each.
"""

import json
from datetime import timedelta
from decimal import Decimal, InvalidOperation

from realtime.types import EPOCH, TICK, UpdatedAt, epoch_seconds, reads_as_newer

KEEPALIVE = b":\n\n"

# Milliseconds until a browser's EventSource connects again. Without it Chromium waits for three seconds.
RETRY = b"retry: 1000\n"

# Apple's URL loading may hold back the first 512 bytes of a response.
PADDING = b":" + b" " * 512 + b"\n"


def data(updated_at: UpdatedAt) -> str:
    """The version as JSON, in seconds since the epoch with all microseconds. ``parse`` reads it back exactly."""
    return f'{{"updated_at": {epoch_seconds(updated_at)}}}'


def frame(updated_at: UpdatedAt) -> bytes:
    """The whole event as SDKs get it. Written in one piece: two SDKs lose an event that is split.

    A version that the Go SDK would read as newer than itself is printed 1 µs lower. Versions of our own are chosen so
    that this does not occur; a Flagsmith chooses any.
    """
    printed = updated_at - TICK if reads_as_newer(updated_at) else updated_at
    return f"event: environment_updated\ndata: {data(printed)}\n\n".encode()


def parse(text: str) -> UpdatedAt:
    """The version that ``data`` wrote. Raises ValueError for anything else."""
    try:
        seconds = json.loads(text, parse_float=Decimal)["updated_at"]
        return EPOCH + timedelta(microseconds=int(Decimal(seconds) * 1_000_000))
    except (KeyError, TypeError, InvalidOperation, OverflowError) as error:
        raise ValueError(f"not an environment's version: {text!r}") from error


def comment(text: str) -> bytes:
    """A line for the person with curl; every SDK passes over it."""
    return b": " + " ".join(text.split()).encode() + b"\n\n"
