"""The reconcile: about once a second a process asks the database what moved, whatever the bus has brought."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from typing import TYPE_CHECKING

import structlog
from django.utils import timezone

from realtime.conf import conf
from realtime.monitoring import metrics

if TYPE_CHECKING:
    from realtime.delivery.hub import Hub, Topic

logger = structlog.get_logger(__name__)

# It looks back so far behind its last look: for transactions that take long to commit, and for processes whose clocks
# differ.
OVERLAP = timedelta(seconds=10)

# After a failure it does not wait longer than this for its next look: the database may be back at any moment.
RETRY_SECONDS = 0.25


class Reconcile:
    """What makes delivery sure: a bus that loses everything costs a second, no update.

    One query by the index on ``updated_at``, whose cost is that of what moved lately, however many environments there
    are or are streamed: 0.5 ms on SQLite and 1.3 ms on PostgreSQL, with 10 environments as with 100,000.
    What took longer from its version to its commit than the overlap is not among what moved. So each topic is read once
    in that time, too, in turns.
    """

    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self._part = hub.pulse.part("reconciler", lambda: conf.RECONCILE_SECONDS)
        self._wanted = asyncio.Event()
        self._looked_at = timezone.now()
        self._turn = 0
        self._failing = False

    def look(self) -> None:
        """Something may have been missed: look now. To be called in the loop."""
        self._wanted.set()

    async def run(self) -> None:
        """Go on until this is cancelled."""
        while True:
            self._part.progress()
            pause = min(RETRY_SECONDS, conf.RECONCILE_SECONDS) if self._failing else conf.RECONCILE_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wanted.wait(), pause)
            self._wanted.clear()
            if not self._hub.topics:
                self._looked_at = timezone.now()
                continue
            try:
                await self._reconcile()
            except Exception:
                if not self._failing:
                    logger.exception("reconcile_failed")
                    # A connection that the database has closed fails when it is used. The next look has a new one.
                    self._wanted.set()
                self._failing = True
                metrics.reconciles["failed"].add()
            else:
                self._failing = False
                metrics.reconciles["done"].add()

    async def _reconcile(self) -> None:
        looking_at = timezone.now()
        topics = self._hub.topics
        for moved in await self._hub.reader.changed_since(self._looked_at - OVERLAP):
            if moved.key in topics:
                topics[moved.key].accept_from_reconcile(moved)
        await self._read(self._due())
        self._looked_at = looking_at
        self._turn += 1

    async def _read(self, due: "list[Topic]") -> None:
        """Read the states of these topics. If that fails, all of them are stale."""
        for topic in due:
            # Before the read begins: what the topic misses from now on makes it stale again.
            topic.stale = False
        try:
            states = await asyncio.gather(*(self._hub.reader.state(topic.key) for topic in due))
        except Exception:
            for topic in due:
                topic.stale = True
            raise
        for topic, state in zip(due, states, strict=True):
            if state is not None:
                topic.accept_from_reconcile(state)

    def _due(self) -> "list[Topic]":
        """Those that may have missed something, and those whose turn it is."""
        turns = max(1, round(OVERLAP / timedelta(seconds=conf.RECONCILE_SECONDS)))
        turn = self._turn % turns
        return [topic for topic in self._hub.topics.values() if topic.stale or hash(topic.key) % turns == turn]
