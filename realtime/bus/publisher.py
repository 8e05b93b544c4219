"""A thread that publishes events to a bus that may not answer, so that no request waits for the bus."""

import atexit
import os
import threading
from collections.abc import Callable, Iterable

import structlog

from realtime.monitoring import metrics
from realtime.types import EnvironmentKey, EnvironmentState

logger = structlog.get_logger(__name__)

# Environments with a pending state. Beyond that the oldest one is dropped, and the reconcile finds its change.
MAX_PENDING = 10_000

# The pause before a state that could not be sent is tried again, if no newer one is pending.
RETRY_SECONDS = 1.0

# The time that a process waits at its exit for pending states to be sent.
EXIT_SECONDS = 1.0


class Publisher:
    """Publishes the newest pending state of each environment, in a thread.

    ``send`` may block and may raise. If it raises, the state is not published, and the reconcile finds the change. The
    last failed state is tried again until one succeeds, to detect when the bus is available again.
    """

    def __init__(self, name: str, send: Callable[[EnvironmentState], None]) -> None:
        self.last_error = ""
        self._failed: EnvironmentState | None = None
        self._name = name
        self._send = send
        self._changed = threading.Condition()
        self._pending: dict[EnvironmentKey, EnvironmentState] = {}
        self._thread: threading.Thread | None = None
        self._idle = True

    @property
    def failing(self) -> bool:
        """True if the last attempt failed."""
        return self._failed is not None

    def put(self, states: Iterable[EnvironmentState]) -> None:
        """Add states to publish. Per environment the newest version wins, in whatever order they are added."""
        with self._changed:
            for state in states:
                pending = self._pending.get(state.key)
                if pending is None or pending.updated_at < state.updated_at:
                    self._pending[state.key] = state
            while len(self._pending) > MAX_PENDING:
                del self._pending[next(iter(self._pending))]
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
                atexit.register(self._flush_at_exit, os.getpid())
            self._changed.notify_all()

    def flush(self, seconds: float) -> bool:
        """Wait until nothing is pending. Returns False after this time."""
        with self._changed:
            return self._changed.wait_for(lambda: self._idle and not self._pending, seconds)

    def _flush_at_exit(self, pid: int) -> None:
        # Not in a forked child: the pending states are its parent's, and the lock may never be released there.
        if pid == os.getpid():
            self.flush(EXIT_SECONDS)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._idle = True
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._pending, RETRY_SECONDS if self.failing else None)
                state = self._pending.pop(next(iter(self._pending))) if self._pending else self._failed
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
            self._failed, self.last_error = state, repr(error)
        else:
            self._failed = None
