"""The evaluation process, a child of the server process for expensive environments, and the queue of its calls.

It is started by the first call. It has its own interpreter, garbage collector and document cache, and a lower priority
than the server process. It ends when its socket closes, so it ends with the server process in any case.

It runs one call at a time. Organisations take turns, so a call waits for the calls of its own organisation and for one
of each other organisation. ``worker.py`` limits the time of a call.
"""

import os
import socket
import subprocess
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import structlog
from django.conf import settings
from rest_framework.exceptions import APIException

from realtime.failure_log import FailureLog
from realtime.per_process import PerProcess
from realtime.workers import BackgroundWorker

logger = structlog.get_logger(__name__)

# Added to the niceness of the server process. On a shared core the server process gets ten times as much time.
NICENESS = 10

# Queued calls of one organisation. Each holds an identity with its traits, a megabyte at most.
MAX_QUEUED_CALLS = 100

# Wall-clock time. A process that has not replied by then is killed. The limits in ``worker.py`` are processor time.
REPLY_TIMEOUT_SECONDS = 120.0


class Busy(APIException):
    """The call has waited too long for its turn, or its organisation has too many queued calls."""

    status_code = 503
    default_detail = "Too many requests for environments of this organisation are being evaluated. Try again."
    wait = 1
    """Seconds, for ``Retry-After``."""


class ProcessLost(APIException):
    """The evaluation process ended during the call."""

    status_code = 503
    default_detail = "The environment could not be evaluated at the moment. Try again."
    wait = 1


@dataclass(eq=False)
class Job:
    """A call and its result."""

    organisation_id: int
    key: Hashable
    call: Callable[[], Any]
    result: "Future[Any]" = field(default_factory=Future)
    queued_at: float = field(default_factory=time.monotonic)


class EvaluationProcess:
    """The queue of calls, the thread that runs them one by one, and the child process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        """Guards the queues."""

        self._queues: OrderedDict[int, deque[Job]] = OrderedDict()
        """By organisation. The next job is taken from the first."""

        self._jobs: dict[Hashable, Job] = {}
        """The queued jobs and the running one, by key."""

        self._thread = BackgroundWorker(
            "evaluation",
            self._run_next,
            FailureLog(logger, "evaluation_queue_failed", has_stack=True),
            # A call may take long, and at the exit of the process nothing waits for its result.
            stop_seconds=0.0,
        )
        self._worker: WorkerProcess | None = None

    def submit(self, organisation_id: int, key: Hashable, call: Callable[[], Any]) -> "Future[Any]":
        """The future result of a picklable call. Concurrent calls with one key share it. Raises ``Busy``."""
        with self._lock:
            job = self._jobs.get(key)
            if job is None:
                if len(self._queues.get(organisation_id, ())) >= MAX_QUEUED_CALLS:
                    raise Busy
                job = self._jobs[key] = Job(organisation_id, key, call)
                # A running future cannot be cancelled. Other callers may share it, and asyncio cancels the futures of
                # a loop that ends.
                job.result.set_running_or_notify_cancel()
                self._queues.setdefault(organisation_id, deque()).append(job)
        self._thread.start()
        self._thread.wake()
        return job.result

    def _run_next(self) -> float | None:
        job = self._next_job()
        if job is None:
            return None
        try:
            result, error = self._call(job), None
        except Exception as failure:
            result, error = None, failure
        with self._lock:
            del self._jobs[job.key]
        if error is None:
            job.result.set_result(result)
        else:
            job.result.set_exception(error)
        return 0.0

    def _next_job(self) -> Job | None:
        with self._lock:
            if not self._queues:
                return None
            organisation_id, jobs = self._queues.popitem(last=False)
            job = jobs.popleft()
            if jobs:
                self._queues[organisation_id] = jobs
            return job

    def _call(self, job: Job) -> Any:
        if time.monotonic() - job.queued_at > settings.EVALUATION_WAIT_SECONDS:
            raise Busy
        try:
            succeeded, result = self._running_worker().call(job.call)
        except (EOFError, OSError) as error:
            self._kill_worker()
            logger.error("evaluation_process_lost", organisation=job.organisation_id, error=repr(error))
            raise ProcessLost from None
        if not succeeded:
            raise result
        return result

    def _running_worker(self) -> "WorkerProcess":
        if self._worker is not None and not self._worker.is_running():
            self._kill_worker()
        if self._worker is None:
            self._worker = WorkerProcess()
        return self._worker

    def _kill_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.kill()


class WorkerProcess:
    """A child process that runs ``worker.serve`` on the other end of a socket."""

    def __init__(self) -> None:
        server_end, worker_end = socket.socketpair()
        with worker_end:
            self._process = subprocess.Popen(
                [sys.executable, str(settings.BASE_DIR / "manage.py"), "evaluation_process", str(worker_end.fileno())],
                pass_fds=[worker_end.fileno()],
                stdin=subprocess.DEVNULL,
                # Its own process group, so that Ctrl+C goes to the server process only. Not its own session: Linux
                # would give that as much of a core as the server's (sched_autogroup).
                process_group=0,
            )
        self._connection = Connection(server_end.detach())
        # Fails if the process has just ended, or where the system forbids it. The priority is optional.
        with suppress(OSError):
            own = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, self._process.pid, own + NICENESS)

    def is_running(self) -> bool:
        return self._process.poll() is None

    def call(self, call: Callable[[], Any]) -> tuple[bool, Any]:
        """Return whether the call succeeded, and its result or exception.

        Raises EOFError or OSError if the process ended.
        """
        self._connection.send(call)
        if not self._connection.poll(REPLY_TIMEOUT_SECONDS):
            raise TimeoutError("no reply")
        reply: tuple[bool, Any] = self._connection.recv()
        return reply

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._connection.close()


evaluation_process = PerProcess(EvaluationProcess)
"""The evaluation process of this server process."""
