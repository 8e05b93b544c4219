"""Sends due deliveries: in a thread of each server process, or in a process of its own.

Any number of deliverers may run: only one of them claims a delivery at a time (``webhooks.delivery``). If a process
exits before it has finished a delivery, another one claims it when its lease has ended. So each event is delivered at
least once. The deliverer's thread reads the database. Requests to receivers, which may be slow, run on an event loop in
a second thread, which the first delivery starts.
"""

import asyncio
import threading
import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

import structlog
from django.db import connections

from realtime.failure_log import FailureLog
from realtime.workers import BackgroundWorker
from webhooks import delivery as deliveries
from webhooks.delivery import WebhookID
from webhooks.models import Delivery
from webhooks.sending import Outcome, send

logger = structlog.get_logger(__name__)

MAX_CONCURRENT_REQUESTS = 16

POLL_SECONDS = 1.0
"""The interval between queries for deliveries that other processes have committed or that are due again."""

PRUNE_SECONDS = 3_600.0

MIN_RETRY_SECONDS, MAX_RETRY_SECONDS = 0.5, 5.0
"""The wait after a failed query. It doubles from the first to the second value."""

END_SECONDS = 5.0
"""The time that requests get to complete at a shutdown. Deliveries not sent by then are released."""

CANCEL_SECONDS = 2.0
"""The time that cancelled requests get to end. The process exits without waiting longer."""

DELIVERY_ID = "X-Flagsmith-Delivery"
"""The header with the delivery's UUID, the same in each attempt: receivers recognise repeated deliveries by it."""

Sent = tuple[Delivery, str, Outcome]
"""A delivery, the URL that it was sent to, and the outcome."""


class Senders:
    """An event loop in a thread, on which the requests run. Their outcomes are given to ``put``, in that thread."""

    def __init__(self, put: Callable[[Sent], None]) -> None:
        self._put = put
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="webhook-senders", daemon=True)
        self._thread.start()

    def start(self, delivery: Delivery, url: str, secret: str) -> None:
        asyncio.run_coroutine_threadsafe(self._send(delivery, url, secret), self._loop)

    async def _send(self, delivery: Delivery, url: str, secret: str) -> None:
        try:
            outcome = await send(url, delivery.body, secret, {DELIVERY_ID: str(delivery.uuid)})
        except Exception as error:
            logger.exception("webhook_not_sent", delivery=str(delivery.uuid))
            outcome = Outcome(error=f"It could not be sent: {type(error).__name__}.")
        self._put((delivery, url, outcome))

    def close(self) -> None:
        """Cancel the requests. Raises nothing, because the caller has to release their deliveries afterwards."""
        try:
            asyncio.run_coroutine_threadsafe(self._cancel(), self._loop).result(CANCEL_SECONDS)
        except TimeoutError:
            logger.warning("webhooks_not_cancelled")
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(CANCEL_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    async def _cancel(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Deliverer(BackgroundWorker):
    """The worker that claims deliveries, starts their requests and stores their outcomes."""

    def __init__(self) -> None:
        super().__init__(
            "webhooks",
            self._send_due,
            FailureLog(logger, "deliverer_failing", "deliverer_recovered", has_stack=True),
            pauses=(MIN_RETRY_SECONDS, MAX_RETRY_SECONDS),
            begin=lambda: logger.info("deliverer_started"),
            finish=self._shut_down,
        )
        self._senders: Senders | None = None
        self._inbox: SimpleQueue[Sent] = SimpleQueue()
        self._claimed: dict[WebhookID, Delivery] = {}
        self._pruned_at = float("-inf")

    def _send_due(self) -> float:
        """Store the outcomes that have arrived, and start the requests of due deliveries."""
        self._receive(0.0)
        self._prune()
        self._start_due()
        return POLL_SECONDS

    def _start_due(self) -> None:
        free = MAX_CONCURRENT_REQUESTS - len(self._claimed)
        for delivery in deliveries.claim(free, self._claimed) if free else ():
            webhook = deliveries.webhook(delivery)
            if webhook is None:
                deliveries.discard(delivery)
                self.wake()
            else:
                self._claimed[WebhookID.of(delivery)] = delivery
                if self._senders is None:
                    self._senders = Senders(self._put)
                self._senders.start(delivery, webhook.url, webhook.secret)

    def _put(self, sent: Sent) -> None:
        """Add an outcome to the inbox. Called in the senders' thread."""
        self._inbox.put(sent)
        self.wake()

    def _prune(self) -> None:
        if time.monotonic() - self._pruned_at > PRUNE_SECONDS:
            deliveries.prune()
            self._pruned_at = time.monotonic()

    def _receive(self, seconds: float) -> None:
        """Wait at most this long for an outcome, and store all that have arrived."""
        try:
            sent = self._inbox.get(timeout=seconds) if seconds > 0 else self._inbox.get_nowait()
            while True:
                self._store(*sent)
                sent = self._inbox.get_nowait()
        except Empty:
            return

    def _store(self, delivery: Delivery, url: str, outcome: Outcome) -> None:
        del self._claimed[WebhookID.of(delivery)]
        try:
            deliveries.finish(delivery, outcome, url)
        except Exception:
            # The delivery is sent again when its lease has ended.
            logger.exception("delivery_outcome_not_stored", delivery=str(delivery.uuid))
            connections.close_all()

    def _shut_down(self) -> None:
        deadline = time.monotonic() + END_SECONDS
        while self._claimed and time.monotonic() < deadline:
            self._receive(deadline - time.monotonic())
        senders, self._senders = self._senders, None
        if senders is not None:
            senders.close()
        self._receive(0.0)
        for delivery in self._claimed.values():
            try:
                deliveries.release(delivery)
            except Exception:
                logger.exception("delivery_not_released", delivery=str(delivery.uuid))
        self._claimed.clear()
        logger.info("deliverer_ended")


def wake() -> None:
    """Make this process's deliverers look for due deliveries now. Called after a commit that has added some."""
    Deliverer.wake_all()
