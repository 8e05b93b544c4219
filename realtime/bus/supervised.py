"""Base class of buses that listen in a thread, on a connection that may end at any time."""

import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import structlog
from django.utils import timezone

from realtime.bus import eventstream
from realtime.bus.spec import Bus, Health
from realtime.failure_log import FailureLog
from realtime.workers import BackgroundWorker

logger = structlog.get_logger(__name__)

# The first and the longest pause between two attempts to connect.
PAUSES = (0.1, 5.0)

# After this time without a message the other side is pinged, and it has ``ANSWER_SECONDS`` to answer. Without the ping
# a connection whose peer has vanished would look connected for hours.
SILENCE_SECONDS = 1.0
ANSWER_SECONDS = 2.0


class SupervisedBus(Bus):
    """Runs ``listen`` in a background worker until ``close``, and reconnects after failures."""

    def __init__(self, on_connect: Callable[[], None]) -> None:
        super().__init__(on_connect)
        self.worker = BackgroundWorker(
            f"realtime-bus-{self.name}",
            self._listen,
            FailureLog(logger, "bus_disconnected", bus=self.name),
            pauses=PAUSES,
            stop_seconds=0.0,
            begin=self._begin,
            interrupt=lambda: self._interrupt(),
        )
        self._health = Health(self.name, False)
        self._invalid_messages = FailureLog(logger, "bus_message_ignored", bus=self.name)
        self._interrupt: Callable[[], None] = _no_interrupt

    @abstractmethod
    def listen(self) -> None:
        """Connect, call ``connected``, and pass each message to ``receive``, until ``worker.is_ending``.

        It must call ``beat`` about once a second, and raise when the connection fails.
        """

    def start(self) -> None:
        self.worker.start()

    def close(self, timeout: float = 0.0) -> None:
        self.worker.stop(timeout)
        self._health = Health(self.name, False)

    def health(self) -> Health:
        return self._health

    @contextmanager
    def interruptible(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Let ``close`` call ``interrupt``, in any thread, to end the wait for a message."""
        self._interrupt = interrupt
        try:
            yield
        finally:
            self._interrupt = _no_interrupt

    def connected(self) -> None:
        """Report that all events are received from now on. Earlier ones may have been missed."""
        self.worker.failures.succeeded()
        reconnected = self._health.last_error != ""
        self._update_health(connected=True, since=timezone.now(), reconnects=self._health.reconnects + reconnected)
        logger.info("bus_connected", bus=self.name, reconnects=self._health.reconnects)
        self.on_connect()

    def receive(self, text: bytes) -> None:
        """Deliver a message of any process in this process. An invalid message is logged once."""
        try:
            eventstream.receive(text)
        except ValueError as error:
            self._invalid_messages.failed(reason=str(error), message=text[:200])

    def beat(self) -> None:
        """Report that the listening thread makes progress."""
        self._update_health(beat=time.monotonic())

    def _update_health(self, **changes: object) -> None:
        """Change the health, if this is called by the current listening thread.

        So there is one writer and no update is lost. A thread that is ending no longer changes it.
        """
        if not self.worker.is_ending:
            self._health = replace(self._health, **changes)  # type: ignore[arg-type]

    def _begin(self) -> None:
        self._update_health(since=timezone.now())

    def _listen(self) -> None:
        # No progress is expected while it connects: a name lookup may take longer than liveness allows.
        self._update_health(beat=None)
        try:
            self.listen()
        except Exception as error:
            if self.worker.is_ending:
                return
            if self._health.connected:
                self._update_health(connected=False, since=timezone.now())
            self._update_health(last_error=repr(error), beat=time.monotonic())
            raise


def _no_interrupt() -> None:
    """Do nothing: the thread is not waiting for a message."""
