"""The interface of a store of posted versions."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, TypeVar

from realtime.types import EnvironmentKey, UpdatedAt

T = TypeVar("T")

Versions = dict[EnvironmentKey, UpdatedAt]


class StoreError(Exception):
    """The store cannot be read or written. The message names the cause."""


@dataclass(frozen=True)
class Health:
    """The state of a store that is not the database, as this process last found it."""

    name: str
    has_been_read: bool
    is_available: bool
    since: datetime
    """The time when ``is_available`` got its value."""
    last_error: str = ""
    """May contain host names: for the log only."""


class Store(ABC):
    """Keeps the greatest version of each environment. All methods may be called in any thread, and wait for it."""

    is_read_without_streams: ClassVar[bool] = False
    """``changed_since`` has to be called regularly, also while no stream is open."""

    @abstractmethod
    def read(self, keys: Collection[EnvironmentKey]) -> Versions:
        """The versions of these environments. Unknown keys are left out."""

    @abstractmethod
    def changed_since(self, moment: datetime) -> Versions:
        """The versions of the environments for which a newer one was stored after this moment."""

    @abstractmethod
    def store_newer(self, versions: Mapping[EnvironmentKey, UpdatedAt]) -> list[EnvironmentKey]:
        """Store these versions, except those that are not later than the stored one. Returns the keys of the others.

        When it returns, other processes read them.
        """

    def run(self, function: Callable[[], T]) -> T:
        """Call a function that uses the store; again if only a connection had been closed since its last use."""
        return function()

    def health(self) -> Health | None:
        """None: the store is the database, whose state is known elsewhere."""
        return None
