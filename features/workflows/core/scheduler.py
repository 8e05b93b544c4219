"""Publishes scheduled change requests when they are due: a thread in each server process, or a process of its own.

Each request is published once, however many schedulers run: a scheduler locks the request's environment first, as every
write of the API does, and then checks again whether the request is due. The database is the only shared state. Requests
that became due while no scheduler ran are published when one starts.
"""

from datetime import datetime

import structlog
from django.db import InterfaceError, OperationalError, transaction
from django.db.models import OuterRef, QuerySet, Subquery
from django.utils import timezone

from core import changes
from core.locks import lock_environment
from environments.models import Environment
from features.workflows.core.models import ChangeRequest
from features.workflows.core.publication import CannotPublish, mark_failed, publish
from realtime.failure_log import FailureLog
from realtime.workers import BackgroundWorker

logger = structlog.get_logger(__name__)

POLL_SECONDS = 0.5
"""Interval of the query for requests that other processes have committed. It uses a partial index."""

FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.5, 5.0


def publish_next() -> bool:
    """Publish one due request, in one transaction. False: none is due, or another scheduler has published it.

    Database connection errors are raised, and nothing is changed. A request that fails for another reason is marked as
    failed and not retried.
    """
    with transaction.atomic(), changes.collecting():
        request = _lock_due_request(timezone.now())
        if request is None:
            return False
        now = timezone.now()
        try:
            with transaction.atomic():
                publish(request, list(request.changes.all()), now)
        except CannotPublish as error:
            mark_failed(request, str(error), now)
        except (OperationalError, InterfaceError):
            raise
        except Exception as error:
            logger.exception("change_request_not_applied", change_request=request.pk)
            mark_failed(request, f"It could not be applied: {type(error).__name__}.", now)
        changes.finish(request.committed_by.email if request.committed_by is not None else "")
    return True


def _lock_due_request(now: datetime) -> ChangeRequest | None:
    """Lock the environment of a due request, preferably an environment that is not locked, and read the request.

    All transactions lock environments before change requests.
    """
    due = ChangeRequest.objects.filter(due_at__lte=now).order_by("due_at", "pk")
    environment = _lock_free_environment(due)
    if environment is None:
        environment = due.values_list("environment", flat=True).first()
        if environment is None:
            return None
        lock_environment(environment)
    return due.filter(environment=environment).select_related("environment__project", "committed_by").first()


def _lock_free_environment(due: QuerySet[ChangeRequest]) -> int | None:
    """Lock the environment with the longest overdue request among those that no other transaction has locked."""
    environments = Environment.objects.filter(pk__in=due.order_by().values("environment"))
    environments = environments.order_by(Subquery(due.filter(environment=OuterRef("pk")).values("due_at")[:1]), "pk")
    free = environments.select_for_update(skip_locked=True, no_key=True)
    return free.values_list("pk", flat=True).first()


class Scheduler(BackgroundWorker):
    """The worker that publishes due requests. Database errors are retried."""

    def __init__(self) -> None:
        super().__init__(
            "scheduler",
            self._publish_due_requests,
            FailureLog(logger, "scheduler_failing", "scheduler_recovered", has_stack=True),
            pauses=(FIRST_RETRY_SECONDS, MAX_RETRY_SECONDS),
            begin=lambda: logger.info("scheduler_started"),
            finish=lambda: logger.info("scheduler_ended"),
        )

    def _publish_due_requests(self) -> float:
        """Publish due requests; return the seconds until the next query."""
        scheduled = ChangeRequest.objects.filter(due_at__isnull=False).order_by("due_at")
        while not self.is_ending:
            due_at = scheduled.values_list("due_at", flat=True).first()
            seconds = (due_at - timezone.now()).total_seconds() if due_at is not None else POLL_SECONDS
            if seconds > 0:
                return min(seconds, POLL_SECONDS)
            publish_next()
        return 0.0


def wake() -> None:
    """Query again now: this process has committed a request that may be due before the next poll."""
    Scheduler.wake_all()
