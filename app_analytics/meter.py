"""What counts: one call for each request, which costs a few microseconds and no query.

``count(Resource.FLAGS, environment_id, headers)`` may be called from any thread, also from an event loop. A thread of
its own writes what was counted every ``API_USAGE_CACHE_SECONDS``, and once more when the process ends.
"""

import threading
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connections

from app_analytics import days, labels, store
from app_analytics.labels import Headers, Labels
from app_analytics.models import Resource
from app_analytics.tally import Tally
from core.threads import LoopThread

logger = structlog.get_logger(__name__)

# At the end: for how long to try to write, less than what the thread is waited for, and when to try again.
END_SECONDS = 8.0
RETRY_SECONDS = 0.5


class Meter:
    """The counts of a process, and what writes them."""

    def __init__(self) -> None:
        self.tally = Tally()
        self.thread = LoopThread("meter", lambda: Writing(self), "ENABLE_API_USAGE_TRACKING")
        """Servers start it; where there is none that does (WSGI), the first count does. It may start again."""
        self._failing = False
        self._forgot_on = 0

    def write(self) -> bool:
        """Write what was counted up to now. False: the database did not take it, and it is counted still."""
        counts = self.tally.take()
        try:
            if counts:
                store.add(counts)
        except Exception:
            self.tally.put_back(counts)
            if not self._failing:
                logger.exception("usage_not_written")
            self._failing = True
            return False
        if self._failing:
            logger.info("usage_written_again")
        self._failing = False
        return True

    def forget(self) -> None:
        """Once a day remove what is older than ``BUCKETED_ANALYTICS_DATA_RETENTION_DAYS``."""
        today = days.today()
        if self._forgot_on == today:
            return
        self._forgot_on = today
        oldest = days.date_of(today) - timedelta(days=settings.BUCKETED_ANALYTICS_DATA_RETENTION_DAYS)
        try:
            store.forget_before(oldest)
        except Exception:
            # Tomorrow, then, or by another process.
            logger.exception("old_usage_not_removed")


class Writing:
    """The thread's loop. It ends after one more writing."""

    def __init__(self, meter: Meter) -> None:
        self._meter = meter
        self._ending = threading.Event()

    def run(self) -> None:
        while not self._ending.wait(settings.API_USAGE_CACHE_SECONDS):
            if self._meter.write():
                self._meter.forget()
            # Between two writings nothing is held: neither a place in the pool nor a connection that may have died.
            connections.close_all()
        deadline = time.monotonic() + END_SECONDS
        while not self._meter.write():
            connections.close_all()
            if time.monotonic() > deadline:
                logger.error("usage_lost", counts=len(self._meter.tally.take()))
                break
            time.sleep(RETRY_SECONDS)
        connections.close_all()

    def end(self) -> None:
        self._ending.set()


meter = Meter()
"""This process's."""


def count(resource: Resource, environment_id: int, headers: Headers) -> None:
    """A request of an SDK for one of ``BILLABLE``, whatever the answer. The caller knows that its key is good."""
    if settings.ENABLE_API_USAGE_TRACKING:
        meter.thread.start()
        meter.tally.request(environment_id, int(resource), labels.of(headers))


def count_equal(resource: Resource, environment_id: int, told: Labels, number: int) -> None:
    """The same for so many requests with these labels."""
    if settings.ENABLE_API_USAGE_TRACKING:
        meter.thread.start()
        meter.tally.request(environment_id, int(resource), told, number)


def count_evaluations(environment_id: int, features: Mapping[int, int], headers: Headers) -> None:
    """Evaluations of flags, by features' primary keys."""
    if settings.ENABLE_API_USAGE_TRACKING and features:
        meter.thread.start()
        meter.tally.evaluations(environment_id, features, labels.of(headers))


def stream_opened(key: str, **kwargs: Any) -> None:
    """The receiver of ``realtime.delivery.connections.opened``. In the event loop: the environment is looked up later,
    when its counts are written."""
    if settings.ENABLE_API_USAGE_TRACKING:
        meter.thread.start()
        meter.tally.stream(key)
