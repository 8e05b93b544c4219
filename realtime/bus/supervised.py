"""Base class of buses that listen in a thread, on a connection that may end at any time."""

import math
import random
import threading
import time
from abc import abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import structlog
from django.utils import timezone

from realtime.bus import eventstream
from realtime.bus.spec import Bus, Health

logger = structlog.get_logger(__name__)

# Pauses between two attempts to connect. Each is twice as long as the previous one, less a random half, so that the
# processes of a large installation do not all reconnect at the same time.
MIN_PAUSE = 0.1
MAX_PAUSE = 5.0

# If a connection lasted longer than this, the next pause is ``MIN_PAUSE`` again.
STABLE_SECONDS = 5.0

# After this time without a message the other side is pinged, and it has ``ANSWER_SECONDS`` to answer. Without the ping
# a connection whose peer has vanished would look connected for hours.
SILENCE_SECONDS = 1.0
ANSWER_SECONDS = 2.0


class SupervisedBus(Bus):
    """Runs ``listen`` in a thread until ``close``, and reconnects after failures.

    A failure is logged once until the connection succeeds again, and pauses between attempts grow.
    """

    def __init__(self, on_connect: Callable[[], None]) -> None:
        super().__init__(on_connect)
        self._lock = threading.Lock()
        self._listening: tuple[threading.Event, threading.Thread] | None = None
        self._health = Health(self.name, False)
        self._connected_at = math.inf
        self._invalid_message_logged = False
        self._interrupt: Callable[[], None] = _no_interrupt

    @abstractmethod
    def listen(self, ended: threading.Event) -> None:
        """Connect, call ``connected``, and pass each message to ``receive``, until ``ended`` is set.

        It must call ``beat`` about once a second, and raise when the connection fails.
        """

    def start(self) -> None:
        with self._lock:
            if self._listening is None:
                ended = threading.Event()
                thread = threading.Thread(
                    target=self._run, args=(ended,), name=f"realtime-bus-{self.name}", daemon=True
                )
                self._health = Health(self.name, False, timezone.now(), beat=time.monotonic())
                self._listening = (ended, thread)
                thread.start()

    def close(self, timeout: float = 0.0) -> None:
        with self._lock:
            listening, self._listening = self._listening, None
            self._health = Health(self.name, False)
        if listening is not None:
            ended, thread = listening
            ended.set()
            self._interrupt()
            thread.join(timeout)

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
        self._connected_at = time.monotonic()
        reconnected = self._health.last_error != ""
        self._update_health(connected=True, since=timezone.now(), reconnects=self._health.reconnects + reconnected)
        logger.info("bus_connected", bus=self.name, reconnects=self._health.reconnects)
        self.on_connect()

    def receive(self, text: bytes) -> None:
        """Deliver a message of any process in this process. An invalid message is logged once."""
        try:
            eventstream.receive(text)
        except ValueError as error:
            if not self._invalid_message_logged:
                logger.warning("bus_message_ignored", bus=self.name, reason=str(error), message=text[:200])
            self._invalid_message_logged = True

    def beat(self) -> None:
        """Report that the listening thread makes progress."""
        self._update_health(beat=time.monotonic())

    def _update_health(self, **changes: object) -> None:
        """Change the health, if this is called by the current listening thread.

        So there is one writer and no update is lost. A thread that is ending no longer changes it.
        """
        listening = self._listening
        if listening is not None and listening[1] is threading.current_thread():
            self._health = replace(self._health, **changes)  # type: ignore[arg-type]

    def _run(self, ended: threading.Event) -> None:
        pause = MIN_PAUSE
        while not ended.is_set():
            self._connected_at = math.inf
            # No progress is expected while it connects: a name lookup may take longer than liveness allows.
            self._update_health(beat=None)
            try:
                self.listen(ended)
            except Exception as error:
                if not ended.is_set():
                    self._report_failure(error)
            lasted = time.monotonic() - self._connected_at
            pause = MIN_PAUSE if lasted > STABLE_SECONDS else min(2 * pause, MAX_PAUSE)
            ended.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311

    def _report_failure(self, error: Exception) -> None:
        if self._health.connected or not self._health.last_error:
            logger.warning("bus_disconnected", bus=self.name, error=repr(error))
            self._update_health(connected=False, since=timezone.now())
        self._update_health(last_error=repr(error), beat=time.monotonic())


def _no_interrupt() -> None:
    """Do nothing: the thread is not waiting for a message."""
