"""A bus that listens in a thread, over a connection that may end at any time."""

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

# Seconds between two attempts to connect: twice as many after each, less a random half, so that the processes of a
# large installation do not come back in one moment.
FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0

# A connection that lasted so long was a good one: the next pause is the first one again.
GOOD_SECONDS = 5.0

# After so many seconds the other side is asked whether it is (still) there, and has so many to answer. Without
# that, a connection into a black hole would be believed in for hours.
SILENCE_SECONDS = 1.0
ANSWER_SECONDS = 2.0


class SupervisedBus(Bus):
    """Its thread never ends by itself: what fails is logged once, tried again, and tried less often as it goes on."""

    def __init__(self, on_connect: Callable[[], None]) -> None:
        super().__init__(on_connect)
        self._lock = threading.Lock()
        self._listening: tuple[threading.Event, threading.Thread] | None = None
        self._health = Health(self.name, False)
        self._connected_at = math.inf
        self._knows_foreign = False
        self._interrupt: Callable[[], None] = _nothing

    @abstractmethod
    def listen(self, ended: threading.Event) -> None:
        """Connect, call ``connected``, give each message to ``receive`` and call ``beat`` about once a second,
        until ``ended`` is set. Raises when the connection fails.
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

    def close(self, patience: float = 0.0) -> None:
        with self._lock:
            listening, self._listening = self._listening, None
            self._health = Health(self.name, False)
        if listening is not None:
            ended, thread = listening
            ended.set()
            self._interrupt()
            thread.join(patience)

    def health(self) -> Health:
        return self._health

    @contextmanager
    def interruptible(self, interrupt: Callable[[], None]) -> Iterator[None]:
        """Meanwhile this ends the wait for a message, when the bus is closed. It may be called in any thread."""
        self._interrupt = interrupt
        try:
            yield
        finally:
            self._interrupt = _nothing

    def connected(self) -> None:
        """From now on everything is heard; what was said before may have been missed."""
        self._connected_at = time.monotonic()
        regained = self._health.last_error != ""
        self._change(connected=True, since=timezone.now(), reconnects=self._health.reconnects + regained)
        logger.info("bus_connected", bus=self.name, reconnects=self._health.reconnects)
        self.on_connect()

    def receive(self, text: bytes) -> None:
        """Deliver a message of another process, or of this one."""
        try:
            eventstream.receive(text)
        except ValueError as error:
            if not self._knows_foreign:
                logger.warning("bus_message_ignored", bus=self.name, reason=str(error), message=text[:200])
            self._knows_foreign = True

    def beat(self) -> None:
        """The thread is at work."""
        self._change(beat=time.monotonic())

    def _change(self, **changes: object) -> None:
        """Only the thread that listens may: nothing is lost between reading and writing, and one that was told to end
        has no say any more.
        """
        listening = self._listening
        if listening is not None and listening[1] is threading.current_thread():
            self._health = replace(self._health, **changes)  # type: ignore[arg-type]

    def _run(self, ended: threading.Event) -> None:
        pause = FIRST_PAUSE
        while not ended.is_set():
            self._connected_at = math.inf
            # To look a host up may take longer than a listener at work may stand still.
            self._change(beat=None)
            try:
                self.listen(ended)
            except Exception as error:
                if not ended.is_set():
                    self._fail(error)
            lasted = time.monotonic() - self._connected_at
            pause = FIRST_PAUSE if lasted > GOOD_SECONDS else min(2 * pause, LONGEST_PAUSE)
            ended.wait(pause * random.uniform(0.5, 1.0))  # noqa: S311

    def _fail(self, error: Exception) -> None:
        if self._health.connected or not self._health.last_error:
            logger.warning("bus_disconnected", bus=self.name, error=repr(error))
            self._change(connected=False, since=timezone.now())
        self._change(last_error=repr(error), beat=time.monotonic())


def _nothing() -> None:
    """Nobody waits."""
