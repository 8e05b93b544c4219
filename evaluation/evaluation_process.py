"""The evaluation process, a child of the server process for expensive environments, and the queue in front of it.

It is started when the first call comes. It has an interpreter, a garbage collector and a cache of documents of its own,
and a lower priority: where both share a core, the server process goes first. It ends when the server process does, in
whatever way (its socket closes).

It runs one call after the other. Organisations take turns, so a call waits for those of its own organisation and for
one of each other. How long a call may take is bounded (``child.py``).
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

logger = structlog.get_logger(__name__)

# Of the child, above this process's own: of a core that they share this one gets ten times as much.
NICENESS = 10

# Calls of one organisation that wait. Each holds an identity with its traits, a megabyte at most.
MOST_WAITING = 100

# Seconds of the clock after which a child that has not answered is given up. Its own limits are seconds on a processor.
GIVEN_UP_SECONDS = 120.0


class Busy(APIException):
    """The call has waited for its turn for too long, or too many others of its organisation wait."""

    status_code = 503
    default_detail = "Too many requests for environments of this organisation are being evaluated. Try again."
    wait = 1
    """Seconds, for ``Retry-After``."""


class Lost(APIException):
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
    """The evaluation process of this server process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: OrderedDict[int, deque[Job]] = OrderedDict()
        """By organisation. The first one has the next turn."""

        self._jobs: dict[Hashable, Job] = {}
        """Those that wait and the one that runs, by key."""

        self._thread: threading.Thread | None = None
        self._child: Child | None = None

    def submit(self, organisation_id: int, key: Hashable, call: Callable[[], Any]) -> "Future[Any]":
        """The future result of a call that can be pickled. Calls of one key share it. Raises ``Busy``."""
        with self._changed:
            job = self._jobs.get(key)
            if job is None:
                if len(self._waiting.get(organisation_id, ())) >= MOST_WAITING:
                    raise Busy
                job = self._jobs[key] = Job(organisation_id, key, call)
                # Nobody can cancel it: others may share it, and asyncio would, when a loop ends.
                job.result.set_running_or_notify_cancel()
                self._waiting.setdefault(organisation_id, deque()).append(job)
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="evaluation", daemon=True)
                    self._thread.start()
                self._changed.notify()
            return job.result

    def _run(self) -> None:
        while True:
            job = self._next()
            try:
                result, error = self._call(job), None
            except Exception as failure:
                result, error = None, failure
            with self._changed:
                del self._jobs[job.key]
            if error is None:
                job.result.set_result(result)
            else:
                job.result.set_exception(error)

    def _next(self) -> Job:
        with self._changed:
            while not self._waiting:
                self._changed.wait()
            organisation_id, jobs = self._waiting.popitem(last=False)
            job = jobs.popleft()
            if jobs:
                self._waiting[organisation_id] = jobs
            return job

    def _call(self, job: Job) -> Any:
        if time.monotonic() - job.queued_at > settings.EVALUATION_WAIT_SECONDS:
            raise Busy
        try:
            succeeded, result = self._running_child().call(job.call)
        except (EOFError, OSError) as error:
            self._end_child()
            logger.error("evaluation_process_lost", organisation=job.organisation_id, error=repr(error))
            raise Lost from None
        if not succeeded:
            raise result
        return result

    def _running_child(self) -> "Child":
        if self._child is not None and not self._child.is_running():
            self._end_child()
        if self._child is None:
            self._child = Child()
        return self._child

    def _end_child(self) -> None:
        child, self._child = self._child, None
        if child is not None:
            child.kill()


class Child:
    """A process that runs ``child.serve`` on the other end of a socket."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(settings.BASE_DIR / "manage.py"), "evaluation_process", str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                # Ctrl+C is for the server. Not a session of its own, to which Linux would give as much of a core as to
                # the server's (sched_autogroup).
                process_group=0,
            )
        self._connection = Connection(ours.detach())
        # Without it the child works all the same.
        with suppress(OSError):
            own = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, self._process.pid, own + NICENESS)

    def is_running(self) -> bool:
        return self._process.poll() is None

    def call(self, call: Callable[[], Any]) -> tuple[bool, Any]:
        """Whether it succeeded, and its result or its exception. Raises EOFError or OSError for a lost child."""
        self._connection.send(call)
        if not self._connection.poll(GIVEN_UP_SECONDS):
            raise TimeoutError("no answer")
        answer: tuple[bool, Any] = self._connection.recv()
        return answer

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._connection.close()


evaluation_process = EvaluationProcess()
