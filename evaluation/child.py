"""The evaluation process's side: runs the calls that it is sent (``evaluation_process.py``), within limits of time.

All seconds here are those on a processor: on a busy machine a call takes longer and is not at fault.
"""

import gc
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, InterfaceError, connections
from rest_framework.exceptions import APIException

from core.connections import retried
from segments.patterns import TimeLimitExceeded

logger = structlog.get_logger(__name__)

# Of a whole call. Then the kernel ends the process, wherever it is.
CALL_SECONDS = 60.0

# Results that a caller can be expected to handle.
EXPECTED = (APIException, ObjectDoesNotExist, DatabaseError, InterfaceError)

_is_evaluation_process = False
_interruptible = False


def serve(connection: Connection) -> None:
    """Run calls until the other end closes. Answers each with whether it succeeded, and its result or exception."""
    global _is_evaluation_process
    _is_evaluation_process = True
    for number in (signal.SIGINT, signal.SIGTERM):
        # A service manager sends them to all processes of the server, which may still have calls.
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGVTALRM, _interrupt)
    # What is imported is no garbage: a round over it takes longer than most calls.
    gc.freeze()
    while True:
        try:
            call = connection.recv()
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_PROF, CALL_SECONDS)
        answer = _run(call)
        signal.setitimer(signal.ITIMER_PROF, 0)
        try:
            connection.send(answer)
        except BrokenPipeError:
            return


@contextmanager
def limited_evaluation() -> Iterator[None]:
    """In the evaluation process: raises ``TimeLimitExceeded`` within, after ``EVALUATION_SECONDS``.

    Not for anything that takes locks. In other processes only regular expressions can be interrupted (``patterns.py``).
    """
    global _interruptible
    if not _is_evaluation_process:
        yield
        return
    signal.setitimer(signal.ITIMER_VIRTUAL, settings.EVALUATION_SECONDS)
    _interruptible = True
    try:
        yield
    finally:
        _interruptible = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Python calls this a moment after the signal, when it may be over.
    if _interruptible:
        raise TimeLimitExceeded


def _run(call: Callable[[], Any]) -> tuple[bool, Any]:
    try:
        return True, retried(call)
    except EXPECTED as error:
        if isinstance(error, DatabaseError | InterfaceError):
            # The next call gets a new connection.
            connections.close_all()
        return False, error
    except Exception as error:
        logger.exception("evaluation_failed")
        return False, RuntimeError(repr(error))
