"""Interface for observers of a hub's deliveries. ``realtime.inspector`` implements it.

Each method is called once per event, not per stream, in the event loop. It must neither block nor raise.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING

from realtime.types import EnvironmentKey, UpdatedAt

if TYPE_CHECKING:
    from realtime.delivery.hub import Hub


class Observer:
    """The default observer, which does nothing."""

    def stream_count_changed(self, key: EnvironmentKey) -> None:
        """A stream of this environment was subscribed or unsubscribed."""

    def delivered(self, key: EnvironmentKey, updated_at: UpdatedAt, streams: int, began: float) -> None:
        """This event has just been written to ``streams`` streams, beginning at ``began`` (seconds since the epoch)."""

    def superseded(self, key: EnvironmentKey, updated_at: UpdatedAt, streams: int = 1) -> None:
        """``streams`` streams will get a later event instead of this one."""

    def healed(self, key: EnvironmentKey, updated_at: UpdatedAt) -> None:
        """The reconcile has found this version, and no event had announced it."""

    async def close(self) -> None:
        """Called when the hub is closed."""


Factory = Callable[["Hub"], Observer]

_factory: Factory | None = None


def use(factory: Factory) -> None:
    """Set the factory of observers. Call it in ``AppConfig.ready``."""
    global _factory
    _factory = factory


def of(hub: "Hub") -> Observer:
    """Make the observer of a new hub."""
    return _factory(hub) if _factory is not None else Observer()
