"""Events on their way to a bus whose other end may not answer: nobody waits for it but one thread."""

import atexit
import os
import threading
from collections.abc import Callable, Iterable

import structlog

from realtime.monitoring import metrics
from realtime.types import EnvironmentKey, EnvironmentState

logger = structlog.get_logger(__name__)

# Environments whose newest event waits; beyond that the one that waits longest is left to the reconcile.
MOST = 10_000

# What failed last is tried again after so many seconds, if nothing newer comes.
RETRY_SECONDS = 1.0

# A process that ends waits so many seconds for what it has said last.
END_SECONDS = 1.0


class Outgoing:
    """A thread that sends, and what waits for it: the newest state of each environment.

    ``send`` may take its time, and may raise: then the state is lost to the bus, and the reconcile finds it. The last
    one that was lost is tried again until something goes through, so that it is known when the bus is back.
    """

    def __init__(self, name: str, send: Callable[[EnvironmentState], None]) -> None:
        self.last_error = ""
        self._lost: EnvironmentState | None = None
        self._name = name
        self._send = send
        self._changed = threading.Condition()
        self._waiting: dict[EnvironmentKey, EnvironmentState] = {}
        self._thread: threading.Thread | None = None
        self._idle = True

    @property
    def failing(self) -> bool:
        """The last try failed."""
        return self._lost is not None

    def put(self, states: Iterable[EnvironmentState]) -> None:
        """Have these sent. Of one environment the greatest version wins, whichever thread comes first."""
        with self._changed:
            for state in states:
                waiting = self._waiting.get(state.key)
                if waiting is None or waiting.updated_at < state.updated_at:
                    self._waiting[state.key] = state
            while len(self._waiting) > MOST:
                del self._waiting[next(iter(self._waiting))]
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
                atexit.register(self._end, os.getpid())
            self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until nothing is on its way; False if that took too long."""
        with self._changed:
            return self._changed.wait_for(lambda: self._idle and not self._waiting, seconds)

    def _end(self, pid: int) -> None:
        # A child that was forked has no such thread; what waits is its parent's, and the lock may be held for ever.
        if pid == os.getpid():
            self.flush(END_SECONDS)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._idle = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting, RETRY_SECONDS if self.failing else None)
                state = self._waiting.pop(next(iter(self._waiting))) if self._waiting else self._lost
                self._idle = False
            assert state is not None
            self._try(state)

    def _try(self, state: EnvironmentState) -> None:
        try:
            self._send(state)
        except Exception as error:
            metrics.publish_failed.add()
            if not self.failing:
                logger.warning("bus_publish_failed", bus=self._name, error=repr(error))
            self._lost, self.last_error = state, repr(error)
        else:
            self._lost = None
