"""Making scheduled change requests live when their time has come: a thread in each server process, or a process alone.

However many of them run, each request is applied once. Whoever wants one first locks its environment, which is also the
lock that every request of the API takes, and then looks again whether there is something to do. The database is the
only thing that they share: what came due while none ran is applied by the next that starts.
"""

import threading
from datetime import datetime

import structlog
from django.db import InterfaceError, OperationalError, connections, transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone

from core import changes
from core.locks import lock_environment
from core.threads import LoopThread
from environments.models import Environment
from features.workflows.core.models import ChangeRequest
from features.workflows.core.publication import CannotGoLive, give_up, publish

logger = structlog.get_logger(__name__)

LOOK_SECONDS = 0.5
"""How often to look for what other processes have committed: one query of an index that holds what waits."""

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.5, 5.0

_news = threading.Event()


def wake() -> None:
    """Something was committed here that may be due sooner than what is waited for."""
    _news.set()


def apply_next() -> bool:
    """Apply one request that is due, in one transaction. False: somebody else was quicker, or nothing is due.

    Raises what the database raises when it cannot be reached; then nothing was changed. A request that fails for any
    other reason is not tried again.
    """
    with transaction.atomic(), changes.observed():
        request = _claim(timezone.now())
        if request is None:
            return False
        now = timezone.now()
        try:
            with transaction.atomic():
                publish(request, list(request.changes.all()), now)
        except CannotGoLive as gone:
            give_up(request, str(gone), now)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            logger.exception("change_request_not_applied", change_request=request.pk)
            give_up(request, f"It could not be applied: {type(error).__name__}.", now)
        changes.finish(request.committed_by.email if request.committed_by is not None else "")
    return True


def _claim(now: datetime) -> ChangeRequest | None:
    """Lock the environment of a request that is due, one that nobody has locked if there is any, and read the request.

    Environments first and requests after them is the order of everybody's locks.
    """
    due = ChangeRequest.objects.filter(due_at__lte=now).order_by("due_at", "pk")
    environment = _free_environment(due)
    if environment is None:
        environment = due.values_list("environment", flat=True).first()
        if environment is None:
            return None
        lock_environment(environment)
    return due.filter(environment=environment).select_related("environment__project", "committed_by").first()


def _free_environment(due: QuerySet[ChangeRequest]) -> int | None:
    """Lock the environment that has waited longest and that no other transaction has locked."""
    waiting = Environment.objects.filter(pk__in=due.order_by().values("environment"))
    waiting = waiting.order_by(Subquery(due.filter(environment=OuterRef("pk")).values("due_at")[:1]), "pk")
    free = waiting.select_for_update(skip_locked=True, no_key=True)
    return free.values_list("pk", flat=True).first()


class Scheduler:
    """The loop. It ends when it is told to, after the request that it has in hand."""

    def __init__(self) -> None:
        self._ending = threading.Event()
        self._retry_after = FIRST_RETRY_SECONDS
        self._failing = False

    def run(self) -> None:
        """Apply what is due, wait for the next, and go on until ``end``. Survives whatever the database does."""
        logger.info("scheduler_started")
        try:
            while not self._ending.is_set():
                _news.wait(self._work())
                _news.clear()
        finally:
            connections.close_all()
            logger.info("scheduler_ended")

    def end(self) -> None:
        """Tell it to end. From any thread; not from a signal's handler (core/processes.py)."""
        self._ending.set()
        wake()

    def _work(self) -> float:
        """Apply what is due; how many seconds there are until it is worth to look again."""
        try:
            seconds = self._apply_what_is_due()
        except Exception:
            if not self._failing:
                logger.exception("scheduler_failing")
            self._failing = True
            connections.close_all()
            seconds, self._retry_after = self._retry_after, min(self._retry_after * 2, LAST_RETRY_SECONDS)
        else:
            if self._failing:
                logger.info("scheduler_recovered")
            self._failing, self._retry_after = False, FIRST_RETRY_SECONDS
        return seconds

    def _apply_what_is_due(self) -> float:
        scheduled = ChangeRequest.objects.filter(due_at__isnull=False).order_by("due_at")
        while not self._ending.is_set():
            due_at = scheduled.values_list("due_at", flat=True).first()
            left = (due_at - timezone.now()).total_seconds() if due_at is not None else LOOK_SECONDS
            if left > 0:
                return min(left, LOOK_SECONDS)
            apply_next()
        return 0.0


scheduler_thread = LoopThread("scheduler", Scheduler, "RUN_SCHEDULER")
