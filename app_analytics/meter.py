"""Usage metering: counts requests in memory, in a few microseconds each, and writes the counts in a thread.

The ``count`` functions can be called from any thread and from an event loop. The thread writes every
``API_USAGE_CACHE_SECONDS``, and once more when the process ends.
"""

import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import connections

from app_analytics import days, store
from app_analytics.counters import Counters
from app_analytics.labels import Headers, Labels, from_headers
from app_analytics.models import Resource
from realtime.failure_log import FailureLog
from realtime.workers import BackgroundWorker

logger = structlog.get_logger(__name__)

# When the process ends: the time to retry a failed write, and the pause between retries. Less than
# ``realtime.workers.STOP_SECONDS``, the time for which the process waits for the thread.
END_SECONDS = 8.0
RETRY_SECONDS = 0.5


class Meter:
    """The usage counters of a process, and the thread that writes them."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.thread = BackgroundWorker(
            "meter",
            self._write_regularly,
            FailureLog(logger, "usage_not_written", "usage_written_again", has_stack=True),
            delay=lambda: settings.API_USAGE_CACHE_SECONDS,
            finish=self._write_rest,
        )
        """Started by the server, or by the first count where no server does (WSGI)."""
        self._removed_on = 0
        """The day on which old counts were last removed."""

    def write(self) -> None:
        """Write the counts. If it raises, they are kept for the next attempt."""
        counts = self.counters.take()
        try:
            if counts:
                store.add(counts)
        except Exception:
            self.counters.put_back(counts)
            raise

    def remove_old(self) -> None:
        """Remove counts older than ``BUCKETED_ANALYTICS_DATA_RETENTION_DAYS``, once a day."""
        today = days.today()
        if self._removed_on == today:
            return
        self._removed_on = today
        oldest = days.date_of(today) - timedelta(days=settings.BUCKETED_ANALYTICS_DATA_RETENTION_DAYS)
        try:
            store.remove_before(oldest)
        except Exception:
            # The next attempt is tomorrow's, or another process's.
            logger.exception("old_usage_not_removed")

    def _write_regularly(self) -> float:
        self.write()
        self.remove_old()
        # Until the next write, the thread needs no connection of the pool, and an open one could be lost.
        connections.close_all()
        interval: float = settings.API_USAGE_CACHE_SECONDS
        return interval

    def _write_rest(self) -> None:
        deadline = time.monotonic() + END_SECONDS
        while True:
            try:
                self.write()
            except Exception as error:
                self.thread.failures.failed(error)
                connections.close_all()
            else:
                self.thread.failures.succeeded()
                return
            if time.monotonic() > deadline:
                logger.error("usage_lost", counts=len(self.counters.take()))
                return
            time.sleep(RETRY_SECONDS)


meter = Meter()
"""The meter of this process."""


def count(resource: Resource, environment_id: int, headers: Headers) -> None:
    """Count a request of an SDK with a valid key, with any response status."""
    if settings.ENABLE_API_USAGE_TRACKING:
        meter.thread.start()
        meter.counters.request(environment_id, int(resource), from_headers(headers))


def count_equal(resource: Resource, environment_id: int, labels: Labels, number: int) -> None:
    """Count several requests with equal labels."""
    if settings.ENABLE_API_USAGE_TRACKING:
        meter.thread.start()
        meter.counters.request(environment_id, int(resource), labels, number)


def count_evaluations(environment_id: int, features: Mapping[int, int], headers: Headers) -> None:
    """Count evaluations of flags, by feature's primary key."""
    if settings.ENABLE_API_USAGE_TRACKING and features:
        meter.thread.start()
        meter.counters.evaluations(environment_id, features, from_headers(headers))


def stream_opened(key: str, **kwargs: Any) -> None:
    """Count a stream. Receives ``realtime.delivery.connections.opened`` in the event loop, so the environment's primary
    key is read later, when the counts are written."""
    if settings.ENABLE_API_USAGE_TRACKING:
        meter.thread.start()
        meter.counters.stream(key)
