"""Storage of held documents, which all processes of a relay share: a directory or Redis.

A relay starts from it while its upstream is away. A process that has fetched a document stores it, and the others find
it there (``newer``), so one process fetches it. ``claim`` keeps two processes from fetching the same document at once.
Each process also stores the versions that it holds, so that an event can wait until all processes serve its version.
A process that has not done so for ``PROCESS_SECONDS`` has ended.

A storage object belongs to one process. All methods wait for the disk or for Redis, so they are called in threads. They
raise StorageError.
"""

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from typing import NamedTuple

from realtime.relay.document import Stored
from realtime.types import EPOCH, TICK, EnvironmentKey, UpdatedAt

PROCESS_SECONDS = 5.0

Held = Mapping[EnvironmentKey, int]
"""The versions that a process holds, in microseconds since 1970. 0: it has no document yet."""


class StorageError(Exception):
    """The storage cannot be read or written. The message names the cause."""


class Found(NamedTuple):
    """The state of an environment's document in the storage."""

    confirmed_at: float
    """The time at which the upstream last had this document, in seconds since the epoch."""

    version: UpdatedAt
    stored: Stored | None
    """The document, if it is newer than the caller's."""


def microseconds(version: UpdatedAt) -> int:
    """The version in microseconds since 1970."""
    return (version - EPOCH) // TICK


class Storage(ABC):
    @abstractmethod
    def newer(self, known: Mapping[EnvironmentKey, UpdatedAt]) -> dict[EnvironmentKey, Found]:
        """The stored documents of these environments. Their content is read if it is newer than this version."""

    @abstractmethod
    def store(self, key: EnvironmentKey, stored: Stored) -> None:
        """Store a document, unless a newer one is stored."""

    @abstractmethod
    def confirm(self, key: EnvironmentKey, at: float) -> None:
        """Store the time at which the upstream had the stored document."""

    is_polled = False
    """Other processes find a document by ``number_stored``, because there is no bus that reports it."""

    def number_stored(self) -> int:
        """A number that rises when a document is stored."""
        return 0

    @abstractmethod
    def hold(self, held: Held, *, is_all: bool) -> None:
        """Store that this process runs, and what it holds: all of it, or what has changed.

        The documents of environments that it has no more are removed, unless other relays use the storage as well.
        """

    @abstractmethod
    def held_by_others(self, keys: Collection[EnvironmentKey]) -> list[Held]:
        """What each other process holds of these environments. Those that it does not have are left out."""

    @abstractmethod
    def leave(self) -> None:
        """Remove this process's versions."""

    @abstractmethod
    def claim(self, name: str, seconds: float) -> bool:
        """Claim this name for some seconds. False: another process has claimed it."""

    @abstractmethod
    def release(self, name: str) -> None:
        """End this process's claim."""
