"""Types that all packages of ``realtime`` share: environments and their versions, changes, and ASGI's."""

from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, NamedTuple, NewType

EnvironmentKey = NewType("EnvironmentKey", str)
"""An environment's public key: it names the stream, the channel and the subscribers."""

EnvironmentID = int
"""An environment's primary key in the host's database."""

UpdatedAt = datetime
"""An environment's version: an aware time, exact to the microsecond, that only ever rises."""

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

TICK = timedelta(microseconds=1)


class EnvironmentState(NamedTuple):
    """What there is to say of an environment at one moment: its version, and whether its streams may hear of it."""

    key: EnvironmentKey
    updated_at: UpdatedAt
    live: bool


class Change(Enum):
    """What happened to a row of a watched model."""

    CREATED = "created"
    UPDATED = "updated"
    DELETED = "deleted"


class Effect(NamedTuple):
    """The environments that a change touches; ``silent`` when an SDK reads it but must not hear of it."""

    environments: Iterable[EnvironmentID]
    silent: bool = False


NOTHING = Effect(())

# What an ASGI application is called with. Libraries type these three with mappings of their own.
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Any, Any, Any], Awaitable[None]]
"""Of a scope, a ``Receive`` and a ``Send``."""

Scope = dict[str, Any]
"""An ASGI scope, complete or without what belongs to one connection."""


def epoch_seconds(updated_at: UpdatedAt) -> str:
    """Seconds since the epoch as a decimal number with six places, never rounded.

    Event, response header and document must hold the same microsecond (SDKs compare them), so this counts whole
    microseconds: a float's ``timestamp()`` would round some of them up.
    """
    since = updated_at - EPOCH
    return f"{since.days * 86_400 + since.seconds}.{since.microseconds:06d}"


def reads_as_newer(updated_at: UpdatedAt) -> bool:
    """True if Flagsmith's Go SDK reads this version from an event as later than the version itself.

    It takes the JSON number as a float64, splits it into whole seconds and nanoseconds by truncation
    (``int64((f - seconds) * 1e9)``), and compares that with the document's exact microseconds. Of all microseconds
    49.6 % come out up to 119 ns later, and the SDK then fetches the document each time it reconnects.
    """
    seconds = float(epoch_seconds(updated_at))
    nanoseconds = int((seconds - int(seconds)) * 1e9)
    return nanoseconds > updated_at.microsecond * 1_000


def first_readable(updated_at: UpdatedAt) -> UpdatedAt:
    """The first version from this one on that does not read as newer than itself."""
    while reads_as_newer(updated_at):
        updated_at += TICK
    return updated_at
