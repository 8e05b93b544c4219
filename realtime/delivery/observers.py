"""Observer of a hub: what it delivers, and to how many streams. ``realtime.inspector`` is one.

A method is called once for an event, not once for each stream, and in the event loop: it must neither block nor raise.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from realtime.types import EnvironmentKey, UpdatedAt

if TYPE_CHECKING:
    from realtime.delivery.hub import Hub


class Observer:
    """An observer that keeps nothing."""

    def audience_changed(self, key: EnvironmentKey) -> None:
        """A stream of this environment has come or gone."""

    def delivered(self, key: EnvironmentKey, updated_at: UpdatedAt, streams: int, began: float) -> None:
        """This event has just been written to so many streams. ``began``: when, in seconds since the epoch."""

    def superseded(self, key: EnvironmentKey, updated_at: UpdatedAt, streams: int = 1) -> None:
        """So many streams will not get this event, but a later one."""

    def healed(self, key: EnvironmentKey, updated_at: UpdatedAt) -> None:
        """The reconcile has found this version, which no event had announced."""

    async def close(self) -> None:
        """The hub is closed."""


Factory = Callable[["Hub"], Observer]

_factory: Factory | None = None


def use(factory: Factory) -> None:
    """Let the factory make the observer of each new hub. To be called in ``AppConfig.ready``."""
    global _factory
    _factory = factory


def of(hub: "Hub") -> Observer:
    """The observer of a new hub."""
    return _factory(hub) if _factory is not None else Observer()
