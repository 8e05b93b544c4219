"""Announces scheduled changes at the moment at which they go live, in ``serve_realtime``.

Flagsmith serves a change from its ``live_from`` on, by the clock, and its audit log entry comes from a task that only
its task processor can delay. So this reads which changes are to come, and raises the version at their time. A change
that went live while no such process ran is one whose ``live_from`` is later than the version: it is announced at once.

Every process does this. The first one raises the version; for the others it is then not older than ``live_from``.
"""

import asyncio
import time
from collections import defaultdict
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from django.apps import apps
from django.db import router, transaction
from django.db.models import F
from django.utils import timezone

from realtime import hosts, runtime
from realtime.batching import DatabaseThread
from realtime.changes import versions
from realtime.conf import conf
from realtime.failure_log import FailureLog
from realtime.flagsmith import models
from realtime.types import EnvironmentID

logger = structlog.get_logger(__name__)

# Two reads are at least so far apart, and so many times as far as one takes: Flagsmith has no index on ``live_from``.
PAUSE_SECONDS = 1.0
PAUSE_FACTOR = 50

# Clocks of other machines, which decide what they serve, may differ by so much.
MARGIN = timedelta(milliseconds=10)

# A version that is published to be live at once has these two times apart by less.
AT_ONCE = timedelta(milliseconds=100)

MAX_READ = 1_000


class Scheduled(NamedTuple):
    """A change that no version has announced yet."""

    live_from: datetime
    environment: EnvironmentID


class Schedule:
    """The clock of one event loop."""

    def __init__(self) -> None:
        self._thread = DatabaseThread("realtime-schedule")
        self._failures = FailureLog(logger, "schedule_failed", has_stack=True)
        self._clock = asyncio.create_task(self._run())
        runtime.current().on_close(self._close)

    async def _close(self) -> None:
        self._clock.cancel()

    async def _run(self) -> None:
        while True:
            began = time.monotonic()
            try:
                coming = await self._thread.run(read)
                next_read = time.monotonic() + max(PAUSE_SECONDS, PAUSE_FACTOR * (time.monotonic() - began))
                await self._announce_until(next_read, coming)
                self._failures.succeeded()
            except Exception as error:
                self._failures.failed(error)
                await asyncio.sleep(PAUSE_SECONDS)

    async def _announce_until(self, next_read: float, coming: list[Scheduled]) -> None:
        """Announce what goes live until the next read, each at its time."""
        coming = sorted(coming)
        while True:
            now = timezone.now() - MARGIN
            due = [change for change in coming if change.live_from <= now]
            if due:
                await self._thread.run(lambda: announce(due))  # noqa: B023
                coming = coming[len(due) :]
                continue
            pause = next_read - time.monotonic()
            if pause <= 0:
                return
            until_next = (coming[0].live_from - now).total_seconds() if coming else pause
            await asyncio.sleep(min(pause, until_next))


def start() -> None:
    """Start the clock of this event loop, except where nothing is scheduled."""
    if hosts.current().raises_in_flagsmith:
        runtime.current().get(Schedule)


def read() -> list[Scheduled]:
    """The committed changes whose ``live_from`` is later than their environment's version."""
    unannounced = {"deleted_at": None, "live_from__gt": F("environment__updated_at")}
    states = models.rows("features.FeatureState").filter(
        **unannounced,
        change_request__committed_at__lt=F("live_from"),
        environment_feature_version=None,
        version__isnull=False,
    )
    published = models.rows("feature_versioning.EnvironmentFeatureVersion").filter(
        **unannounced, published_at__lt=F("live_from") - AT_ONCE
    )
    rows = [row for query in (states, published) for row in query.values_list("live_from", "environment_id")[:MAX_READ]]
    return [Scheduled(*row) for row in rows]


def announce(due: list[Scheduled]) -> None:
    """Raise the versions that are older than these changes."""
    live_from: dict[EnvironmentID, datetime] = defaultdict(lambda: due[0].live_from)
    for change in due:
        live_from[change.environment] = max(live_from[change.environment], change.live_from)
    using = router.db_for_write(apps.get_model(conf.ENVIRONMENT_MODEL))
    with transaction.atomic(using=using):
        locked = hosts.current().lock(live_from)
        older = [pk for pk, updated_at in locked.items() if updated_at < live_from[pk]]
        versions.announce(older, using=using)
    if older:
        logger.info("scheduled_change_live", environments=older)
