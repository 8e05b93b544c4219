"""The interface of a bus, and the health that a bus reports."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

from realtime.types import EnvironmentState


@dataclass(frozen=True)
class Health:
    """The state of the bus in this process."""

    name: str
    connected: bool
    """Events of other processes are received, and the last event of this process was sent."""

    since: datetime | None = None
    """The time of the last change of ``connected``; None before the bus is started."""

    reconnects: int = 0
    """The number of times that the connection was lost and established again."""

    last_error: str = ""
    """The last failure, which may be over. It may contain host names, so it must not be public."""

    beat: float | None = None
    """``time.monotonic()`` of the listening thread's last cycle; None without such a thread, and while it connects."""

    @property
    def degraded(self) -> bool:
        """True if only the reconcile finds the changes of other processes."""
        return self.since is not None and not self.connected


class Bus(ABC):
    """Carries events from one process to all others. It may lose events: the reconcile finds them.

    A back end passes received events to ``eventstream.receive``. Events may arrive twice, late or out of order, and
    also in the process that sent them: versions show which is newer. Streams of the sending process do not depend on
    the bus.
    """

    name: ClassVar[str]

    def __init__(self, on_connect: Callable[[], None]) -> None:
        self.on_connect = on_connect
        """Called in any thread when events are received again, because earlier ones may have been missed."""

    # A back end implements one of these two.
    def write(self, states: Sequence[EnvironmentState], using: str) -> None:  # noqa: B027
        """Called in the transaction that made these states, on the database of this alias.

        If it raises, the transaction fails.
        """

    def send(self, states: Sequence[EnvironmentState]) -> None:  # noqa: B027
        """Called after the commit of these states, in any thread. It must neither block nor raise."""

    @abstractmethod
    def start(self) -> None:
        """Start to listen in a thread, until ``close``. Does nothing if the thread is running."""

    @abstractmethod
    def close(self, timeout: float = 0.0) -> None:
        """Stop listening, and wait up to this many seconds for the thread to end."""

    @abstractmethod
    def health(self) -> Health:
        """The current state. May be called in any thread."""
