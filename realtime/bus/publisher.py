"""A thread that publishes events to a bus that may not answer, so that no request waits for the bus."""

import threading
from collections.abc import Callable, Iterable

import structlog
from django.db import connections

from realtime.failure_log import FailureLog
from realtime.monitoring import metrics
from realtime.types import EnvironmentKey, EnvironmentState
from realtime.workers import BackgroundWorker

logger = structlog.get_logger(__name__)

# Environments with a pending state. Beyond that the oldest one is dropped, and the reconcile finds its change.
MAX_PENDING = 10_000

# The pause after a state that could not be sent, unless another one is added.
RETRY_SECONDS = 1.0

# The time that a process waits at its exit for pending states to be sent.
EXIT_SECONDS = 1.0


class Publisher:
    """Publishes the newest pending state of each environment, in a thread.

    ``send`` may block and may raise. If it raises, the state is tried again, after all others.
    """

    def __init__(self, name: str, send: Callable[[EnvironmentState], None]) -> None:
        failures = FailureLog(logger, "bus_publish_failed", bus=name)
        self.worker = BackgroundWorker(
            name,
            self._send_pending,
            failures,
            pauses=(RETRY_SECONDS, RETRY_SECONDS),
            stop_seconds=EXIT_SECONDS,
            finish=self._send_pending,
        )
        self._send = send
        self._lock = threading.Lock()
        self._pending: dict[EnvironmentKey, EnvironmentState] = {}

    def put(self, states: Iterable[EnvironmentState]) -> None:
        """Add states to publish. Per environment the newest version wins, in whatever order they are added."""
        with self._lock:
            for state in states:
                self._add(state)
            while len(self._pending) > MAX_PENDING:
                del self._pending[next(iter(self._pending))]
        self.worker.start()
        self.worker.wake()

    def _add(self, state: EnvironmentState) -> None:
        pending = self._pending.get(state.key)
        if pending is None or pending.updated_at < state.updated_at:
            self._pending[state.key] = state

    def _send_pending(self) -> None:
        try:
            while (state := self._next()) is not None:
                self._try(state)
        finally:
            connections.close_all()

    def _next(self) -> EnvironmentState | None:
        with self._lock:
            return self._pending.pop(next(iter(self._pending))) if self._pending else None

    def _try(self, state: EnvironmentState) -> None:
        try:
            self._send(state)
        except Exception:
            metrics.publish_failed.add()
            with self._lock:
                if len(self._pending) < MAX_PENDING:
                    self._add(state)
            raise
        self.worker.failures.succeeded()
