"""Types that all packages of ``realtime`` share: environments and their versions, row operations, and ASGI's types."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, NamedTuple, NewType

EnvironmentKey = NewType("EnvironmentKey", str)
"""An environment's public key, which identifies it in URLs, channels and events."""

EnvironmentID = int
"""An environment's primary key in the host's database."""

UpdatedAt = datetime
"""An environment's version: an aware datetime with microseconds, which only increases."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

TICK = timedelta(microseconds=1)


class EnvironmentState(NamedTuple):
    """An environment's version and gate at one moment."""

    key: EnvironmentKey
    updated_at: UpdatedAt
    streaming_enabled: bool
    """The gate is open: streams may receive events."""


class RowOperation(Enum):
    """The operation that changes a row of a watched model."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


class Effect(NamedTuple):
    """The environments that a row operation affects. ``silent``: SDKs read the change, but get no event."""

    environments: Iterable[EnvironmentID]
    silent: bool = False


NOTHING = Effect(())

# ASGI's types. Libraries type the first three with mappings of their own.
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]
Start = Callable[[], Awaitable[None]]
"""Called with a scope, a ``Receive`` and a ``Send``."""

Scope = dict[str, Any]
"""An ASGI scope, possibly without the items that belong to one connection."""


def epoch_seconds(updated_at: UpdatedAt) -> str:
    """Seconds since the epoch as a decimal number with six places, not rounded.

    Event, response header and document must hold the same microsecond, because SDKs compare them. So this counts whole
    microseconds; the float that ``timestamp()`` returns would be rounded.
    """
    since = updated_at - EPOCH
    return f"{since.days * 86_400 + since.seconds}.{since.microseconds:06d}"


def reads_as_newer(updated_at: UpdatedAt) -> bool:
    """Return True if Flagsmith's Go SDK parses this version in an event as later than the version itself.

    The SDK parses the JSON number as a float64, splits it into seconds and nanoseconds by truncation
    (``int64((f - seconds) * 1e9)``), and compares the result with the document's exact microseconds. For 49.6 % of all
    microseconds the result is up to 119 ns later, and the SDK then fetches the document each time it reconnects.
    """
    seconds = float(epoch_seconds(updated_at))
    nanoseconds = int((seconds - int(seconds)) * 1e9)
    return nanoseconds > updated_at.microsecond * 1_000


def first_readable(updated_at: UpdatedAt) -> UpdatedAt:
    """This version, or the next later one that SDKs do not read as newer than itself (``reads_as_newer``)."""
    while reads_as_newer(updated_at):
        updated_at += TICK
    return updated_at
