"""Background workers: threads that do their work in rounds, until they are stopped or the process ends."""

import atexit
import os
import random
import threading
import time
from collections.abc import Callable

from django.db import connections

from realtime.failure_log import FailureLog

STOP_SECONDS = 10.0
"""The time that a worker has for its current round and its last work, when it is stopped. Some have less."""

Work = Callable[[], float | None]
"""One round. Returns the seconds until the next one; None: the next one begins at ``wake``."""

Pauses = tuple[float, float]
"""The first and the longest pause after failures, in seconds."""


class BackgroundWorker:
    """A thread that calls ``work`` in rounds. It can be started again, and ends with the process.

    If a round raises, the failure is reported to ``failures``, the thread's database connections are closed, and the
    next round follows after a pause. Each pause is twice as long as the previous one, less a random half, so that many
    processes do not all try again at the same time. After a success, or a failure that took longer than the longest
    pause, the next pause is the first one again.

    The first round begins ``delay()`` seconds after the start. ``begin`` and ``finish`` are called in the thread,
    before the first and after the last round. A round may block, as one that listens: then ``interrupt``, called by the
    thread that stops the worker, ends it. Threads do not survive a fork: in the child, ``start`` starts another one.
    A worker without a server that starts it is started at each use.
    """

    def __init__(
        self,
        name: str,
        work: Work,
        failures: FailureLog,
        *,
        pauses: Pauses = (0.5, 5.0),
        stop_seconds: float = STOP_SECONDS,
        delay: Callable[[], float] = lambda: 0.0,
        begin: Callable[[], object] = lambda: None,
        finish: Callable[[], object] = lambda: None,
        interrupt: Callable[[], object] = lambda: None,
    ) -> None:
        self.name = name
        self.failures = failures
        self.pauses = pauses
        self._work = work
        self._stop_seconds = stop_seconds
        self._delay = delay
        self._begin = begin
        self._finish = finish
        self._interrupt = interrupt
        self._renew()

    def _renew(self) -> None:
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_woken = False

    @property
    def is_ending(self) -> bool:
        """True in a thread of this worker that was stopped, and in threads of others."""
        return self._thread is not threading.current_thread()

    def start(self) -> None:
        """Start the thread, unless it runs. Cheap enough to be called for each request.

        Raises RuntimeError if the system has no thread left.
        """
        if self._thread is not None:
            return
        with self._changed:
            if self._thread is None:
                # A daemon thread does not block the exit of a process that does not stop it; atexit stops it then.
                self._thread = threading.Thread(target=self._run, name=self.name, daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:
                    self._thread = None
                    raise
                _running.add(self)
                atexit.register(self.stop)

    def stop(self, seconds: float | None = None) -> bool:
        """End the thread after its current round, and wait for it (None: ``stop_seconds``). Returns whether it ended.

        Callable from any thread but its own, and not from a signal handler, which might hold a lock of the worker.
        """
        with self._changed:
            thread, self._thread = self._thread, None
            self._changed.notify_all()
        if thread is None:
            return True
        _running.discard(self)
        atexit.unregister(self.stop)
        self._interrupt()
        thread.join(self._stop_seconds if seconds is None else seconds)
        return not thread.is_alive()

    def wake(self) -> None:
        """Begin the next round now, or immediately after the current one. Callable from any thread."""
        with self._changed:
            self._is_woken = True
            self._changed.notify_all()

    @classmethod
    def wake_all(cls) -> None:
        """Wake the running workers of this class."""
        for worker in running():
            if isinstance(worker, cls):
                worker.wake()

    def _run(self) -> None:
        pause = 0.0
        try:
            self._begin()
            self._wait(self._delay())
            while not self.is_ending:
                began = time.monotonic()
                try:
                    seconds = self._work()
                except Exception as error:
                    self._report(error)
                    first, longest = self.pauses
                    has_worked = time.monotonic() - began > longest
                    pause = first if has_worked else min(max(first, 2 * pause), longest)
                    seconds = pause * random.uniform(0.5, 1.0)  # noqa: S311
                else:
                    self.failures.succeeded()
                    pause = 0.0
                self._wait(seconds)
            try:
                self._finish()
            except Exception as error:
                self._report(error)
        finally:
            connections.close_all()

    def _report(self, error: Exception) -> None:
        self.failures.failed(error)
        connections.close_all()

    def _wait(self, seconds: float | None) -> None:
        with self._changed:
            self._changed.wait_for(lambda: self._is_woken or self.is_ending, seconds)
            self._is_woken = False


_running: set[BackgroundWorker] = set()


def running() -> tuple[BackgroundWorker, ...]:
    """The workers of this process that were started and not stopped."""
    return tuple(_running)


def _forget_threads() -> None:
    for worker in running():
        worker._renew()
    _running.clear()


os.register_at_fork(after_in_child=_forget_threads)
