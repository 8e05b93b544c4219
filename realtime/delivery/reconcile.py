"""The reconcile: about once a second each process reads from the database which environments have changed."""

import asyncio
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from django.utils import timezone

from realtime import hosts
from realtime.conf import conf
from realtime.monitoring import metrics
from realtime.waiting import wait_for_event

if TYPE_CHECKING:
    from realtime.delivery.hub import Hub, Topic

logger = structlog.get_logger(__name__)

# Each query reaches this far behind the previous one, because transactions may take long to commit and the clocks of
# processes may differ.
OVERLAP = timedelta(seconds=10)

# The pause after a failed query, if that is less than ``REALTIME_RECONCILE_SECONDS``.
RETRY_SECONDS = 0.25


class Reconcile:
    """The task that makes delivery reliable: if the bus loses events, they are late by a second and not lost.

    It runs one query by the index on ``updated_at``. The cost depends on the number of recent changes, not on the
    number of environments or streams: 0.5 ms on SQLite and 1.3 ms on PostgreSQL, both with 10 and with 100,000
    environments. A change whose transaction took longer than ``OVERLAP`` to commit is not in the result. So each topic
    is also read once within ``OVERLAP``, a part of the topics each time.
    """

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self._part = hub.pulse.part("reconciler", lambda: conf.RECONCILE_SECONDS)
        self._wanted = asyncio.Event()
        self._read_at = timezone.now()
        self._turn = 0
        self._failing = False
        if hosts.current().posted.is_read_without_streams:
            # Readiness waits for the first read.
            self._wanted.set()

    def wake(self) -> None:
        """Reconcile now, because an event may have been missed. Must be called in the event loop."""
        self._wanted.set()

    async def run(self) -> None:
        """Reconcile until the task is cancelled."""
        while True:
            self._part.progress()
            pause = min(RETRY_SECONDS, conf.RECONCILE_SECONDS) if self._failing else conf.RECONCILE_SECONDS
            await wait_for_event(self._wanted, pause)
            self._wanted.clear()
            if not self._hub.topics and not hosts.current().posted.is_read_without_streams:
                self._read_at = timezone.now()
                continue
            try:
                await self._reconcile()
            except Exception as error:
                # A store logs its own failures.
                if not self._failing and not isinstance(error, hosts.StoreError):
                    logger.exception("reconcile_failed")
                self._failing = True
                metrics.reconciles["failed"].add()
            else:
                self._failing = False
                metrics.reconciles["done"].add()

    async def _reconcile(self) -> None:
        reading_at = timezone.now()
        topics, since = self._hub.topics, self._read_at - OVERLAP
        for state in await self._hub.thread.run(lambda: hosts.current().changed_since(since)):
            if state.key in topics:
                topics[state.key].reconcile(state)
        await self._read(self._due())
        self._read_at = reading_at
        self._turn += 1

    async def _read(self, due: "list[Topic]") -> None:
        """Read the states of these topics. If that fails, all of them stay stale."""
        for topic in due:
            # Reset before the read begins, because an event missed during the read must set it again.
            topic.stale = False
        try:
            states = await asyncio.gather(*(self._hub.reader.result(topic.key) for topic in due))
        except Exception:
            for topic in due:
                topic.stale = True
            raise
        for topic, state in zip(due, states, strict=True):
            if state is not None:
                topic.reconcile(state)

    def _due(self) -> "list[Topic]":
        """The stale topics, and the part of all topics whose turn it is."""
        turns = max(1, round(OVERLAP / timedelta(seconds=conf.RECONCILE_SECONDS)))
        turn = self._turn % turns
        return [topic for topic in self._hub.topics.values() if topic.stale or hash(topic.key) % turns == turn]
