"""What is handed from the event loop to the thread that writes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from realtime.inspector.times import Times
from realtime.types import EnvironmentKey, UpdatedAt


@dataclass(slots=True)
class Note:
    """What this process says of an event, since it has last said something of it. Times are seconds of the epoch."""

    written: int = 0
    superseded: int = 0
    healed: bool = False
    written_at: float | None = None
    committed_at: float | None = None
    times: Times = field(default_factory=Times)


class Told(NamedTuple):
    """An event, and what is said of it."""

    key: EnvironmentKey
    updated_at: UpdatedAt
    note: Note


class Notes:
    """Of some time: environments whose number of streams may have changed, with what it is now, and events."""

    def __init__(self) -> None:
        self.streams: dict[EnvironmentKey, int] = {}
        self._events: dict[EnvironmentKey, dict[UpdatedAt, Note]] = {}

    def __bool__(self) -> bool:
        return bool(self.streams or self._events)

    def of(self, key: EnvironmentKey, updated_at: UpdatedAt) -> Note:
        """The note about this event."""
        of_environment = self._events.get(key)
        if of_environment is None:
            of_environment = self._events[key] = {}
        note = of_environment.get(updated_at)
        if note is None:
            note = of_environment[updated_at] = Note()
        return note

    def events(self) -> Iterator[list[Told]]:
        """Of each environment, the newest first."""
        for key, of_environment in self._events.items():
            yield [Told(key, updated_at, of_environment[updated_at]) for updated_at in sorted(of_environment)[::-1]]
