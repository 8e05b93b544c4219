"""What every back end of the bus does, and what it says of itself."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from realtime.types import EnvironmentState


@dataclass(frozen=True)
class Health:
    """How the bus does in this process."""

    name: str
    connected: bool
    """Events of other processes are heard, and this one's last event went out."""

    since: datetime | None = None
    """When ``connected`` became what it is; None before the bus was started."""

    reconnects: int = 0
    """How often the connection was lost and had again."""

    last_error: str = ""
    """Of the last failure, which may be over. May name hosts: not for everybody's eyes."""

    beat: float | None = None
    """``time.monotonic()`` of the listening thread's last turn; None where there is no such thread, or while it
    connects."""

    @property
    def degraded(self) -> bool:
        """Other processes' events come by the reconcile alone."""
        return self.since is not None and not self.connected


class Bus(ABC):
    """Carries events from one process to all others. A hint: whatever it loses, the reconcile finds.

    What it receives goes to ``eventstream.receive``. It may bring an event twice, late or out of order, and to the
    process that sent it, too: versions show which is newer. Streams of the sending process do not depend on it at all.
    """

    name: ClassVar[str]

    def __init__(self, on_connect: Callable[[], None]) -> None:
        self.on_connect = on_connect
        """Called in any thread, whenever it hears from now on but may have missed something before."""

    # Most need only one of these two.
    def write(self, states: Sequence[EnvironmentState], using: str) -> None:  # noqa: B027
        """Called in the transaction that made these states, on the database of this alias; its failure is that
        transaction's.
        """

    def send(self, states: Sequence[EnvironmentState]) -> None:  # noqa: B027
        """Called when these states are committed, in any thread. Neither waits nor raises."""

    @abstractmethod
    def start(self) -> None:
        """Listen, in a thread, until ``close``. Costs nothing where it listens already."""

    @abstractmethod
    def close(self, patience: float = 0.0) -> None:
        """Listen no longer; wait so many seconds for the thread to end."""

    @abstractmethod
    def health(self) -> Health:
        """How it does now. To be asked from any thread."""
