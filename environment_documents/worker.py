"""Worker side of the evaluation process: runs the calls that ``evaluation_process.py`` sends, with time limits.

All limits are processor time, so they do not depend on the load of the machine.
"""

import gc
import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

import structlog
from django.conf import settings
from django.core.exceptions import ObjectDoesNotExist
from django.db import DatabaseError, InterfaceError, connections
from rest_framework.exceptions import APIException

from realtime.batching import retried
from realtime.evaluation.patterns import TimeLimitExceeded

logger = structlog.get_logger(__name__)

# Processor time of a whole call. After it the kernel ends the process.
CALL_SECONDS = 60.0

# Exceptions that are returned to the caller as they are.
EXPECTED = (APIException, ObjectDoesNotExist, DatabaseError, InterfaceError)

_is_evaluation_process = False
_interruptible = False


def serve(connection: Connection) -> None:
    """Run calls until the other end closes. A reply is whether the call succeeded, and its result or exception."""
    global _is_evaluation_process
    _is_evaluation_process = True
    for number in (signal.SIGINT, signal.SIGTERM):
        # A service manager sends them to all processes of the server. The server process may still send calls.
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGVTALRM, _interrupt)
    # Imported modules are never garbage. A collection of them takes longer than most calls.
    gc.freeze()
    while True:
        try:
            call = connection.recv()
        except EOFError:
            return
        signal.setitimer(signal.ITIMER_PROF, CALL_SECONDS)
        reply = _run(call)
        signal.setitimer(signal.ITIMER_PROF, 0)
        try:
            connection.send(reply)
        except BrokenPipeError:
            return


def evaluation_time_limit() -> AbstractContextManager[None]:
    """Raise ``TimeLimitExceeded`` in the block after ``EVALUATION_SECONDS``. Only in the evaluation process.

    The exception is raised at any point, so the block must not take locks. In other processes only regular expressions
    can be interrupted (``realtime/evaluation/patterns.py``).
    """
    return _interrupted_evaluation() if _is_evaluation_process else nullcontext()


@contextmanager
def _interrupted_evaluation() -> Iterator[None]:
    global _interruptible
    signal.setitimer(signal.ITIMER_VIRTUAL, settings.EVALUATION_SECONDS)
    _interruptible = True
    try:
        yield
    finally:
        _interruptible = False
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


def _interrupt(number: int, frame: FrameType | None) -> None:
    # Python calls the handler some time after the signal. The block may have ended since.
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
