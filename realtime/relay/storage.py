"""Storage of held documents, which all processes of a relay share: a directory or Redis.

A relay starts from it while its upstream is away. A process that has fetched a document stores it, and the others find
it there (``newer``), so one process fetches it. ``claim`` keeps two processes from fetching the same document at once.
All methods wait for the disk or for Redis, so they are called in threads. They raise StorageError.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import NamedTuple

from realtime.relay.document import Stored
from realtime.types import EnvironmentKey, UpdatedAt


class StorageError(Exception):
    """The storage cannot be read or written. The message names the cause."""


class Found(NamedTuple):
    """The state of an environment's document in the storage."""

    confirmed_at: float
    """The time at which the upstream last had this document, in seconds since the epoch."""

    version: UpdatedAt
    stored: Stored | None
    """The document, if it is newer than the caller's."""


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

    @abstractmethod
    def claim(self, name: str, seconds: float) -> bool:
        """Claim this name for some seconds. False: another process has claimed it."""

    @abstractmethod
    def release(self, name: str) -> None:
        """End this process's claim."""
