"""Sends what is due: a thread in each server process, or a process alone.

However many of them run, each delivery is in the hand of one at a time (``webhooks.delivery``). If a process dies with
one in hand, another takes it up when its lease has ended; so a receiver may hear of something twice, but never not at
all. The loop here asks the database; receivers, who may be slow, are called on an event loop beside it.
"""

import asyncio
import threading
import time
from queue import Empty, SimpleQueue

import structlog
from django.db import connections

from core.threads import LoopThread
from webhooks import delivery as deliveries
from webhooks.delivery import WebhookID
from webhooks.models import Delivery
from webhooks.sending import Outcome, send

logger = structlog.get_logger(__name__)

SLOTS = 16
"""So many are sent at a time."""

LOOK_SECONDS = 1.0
"""How often to look for what other processes have committed, and for what is to be tried again."""

PRUNE_SECONDS = 3_600.0

FIRST_RETRY_SECONDS, LAST_RETRY_SECONDS = 0.5, 5.0

END_SECONDS = 5.0
"""At the end, what is being sent gets so long. What is not sent by then is given back."""

BREAK_OFF_SECONDS = 2.0
"""To break off what is left takes a moment. If it takes longer, it ends with the process."""

DELIVERY_ID = "X-Flagsmith-Delivery"
"""The same each time that something is sent: receivers can tell by it what they have had already."""

_running: set["Deliverer"] = set()


def wake() -> None:
    """Something was committed here that is to be sent."""
    for each in tuple(_running):
        each.look()


class Senders:
    """An event loop in a thread, on which receivers are called. What comes of it is put into ``inbox``."""

    def __init__(self, inbox: "SimpleQueue[Sent | None]") -> None:
        self._inbox = inbox
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="webhook-senders", daemon=True)
        self._thread.start()

    def begin(self, delivery: Delivery, url: str, secret: str) -> None:
        asyncio.run_coroutine_threadsafe(self._send(delivery, url, secret), self._loop)

    async def _send(self, delivery: Delivery, url: str, secret: str) -> None:
        try:
            outcome = await send(url, delivery.body, secret, {DELIVERY_ID: str(delivery.uuid)})
        except Exception as error:
            logger.exception("webhook_not_sent", delivery=str(delivery.uuid))
            outcome = Outcome(error=f"It could not be sent: {type(error).__name__}.")
        self._inbox.put((delivery, url, outcome))

    def close(self) -> None:
        """Break off what is being sent. Raises nothing: what is in hand has to be given back after it."""
        try:
            asyncio.run_coroutine_threadsafe(self._break_off(), self._loop).result(BREAK_OFF_SECONDS)
        except TimeoutError:
            logger.warning("webhooks_not_broken_off")
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(BREAK_OFF_SECONDS)
        if not self._thread.is_alive():
            self._loop.close()

    async def _break_off(self) -> None:
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


Sent = tuple[Delivery, str, Outcome]
"""What was sent, to which URL, and what came of it."""


class Deliverer:
    """The loop. It ends when it is told to."""

    def __init__(self) -> None:
        self._ending = threading.Event()
        self._inbox: SimpleQueue[Sent | None] = SimpleQueue()
        self._in_hand: dict[WebhookID, Delivery] = {}
        self._retry_after = FIRST_RETRY_SECONDS
        self._failing = False
        self._pruned_at = float("-inf")

    def run(self) -> None:
        """Send what is due, wait for more, and go on until ``end``. Survives whatever the database does."""
        logger.info("deliverer_started")
        self._senders = Senders(self._inbox)
        _running.add(self)
        try:
            while not self._ending.is_set():
                self._take(self._work())
        finally:
            _running.discard(self)
            self._finish()
            connections.close_all()
            logger.info("deliverer_ended")

    def end(self) -> None:
        """Tell it to end. From any thread; not from a signal's handler (core/processes.py)."""
        self._ending.set()
        self.look()

    def look(self) -> None:
        """Look now. From any thread."""
        self._inbox.put(None)

    def _work(self) -> float:
        """Begin to send what is due; how many seconds there are until it is worth to look again."""
        try:
            self._prune()
            self._begin()
        except Exception:
            if not self._failing:
                logger.exception("deliverer_failing")
            self._failing = True
            connections.close_all()
            seconds, self._retry_after = self._retry_after, min(self._retry_after * 2, LAST_RETRY_SECONDS)
        else:
            if self._failing:
                logger.info("deliverer_recovered")
            self._failing, self._retry_after = False, FIRST_RETRY_SECONDS
            seconds = LOOK_SECONDS
        return seconds

    def _begin(self) -> None:
        free = SLOTS - len(self._in_hand)
        for delivery in deliveries.claim(free, self._in_hand) if free else ():
            webhook = deliveries.webhook(delivery)
            if webhook is None:
                deliveries.drop(delivery)
                self.look()
            else:
                self._in_hand[WebhookID.of(delivery)] = delivery
                self._senders.begin(delivery, webhook.url, webhook.secret)

    def _prune(self) -> None:
        if time.monotonic() - self._pruned_at > PRUNE_SECONDS:
            deliveries.prune()
            self._pruned_at = time.monotonic()

    def _take(self, seconds: float) -> None:
        """Wait for news so long, and keep what came of what was sent."""
        try:
            sent = self._inbox.get(timeout=seconds) if seconds > 0 else self._inbox.get_nowait()
            while True:
                if sent is not None:
                    self._keep(*sent)
                sent = self._inbox.get_nowait()
        except Empty:
            return

    def _keep(self, delivery: Delivery, url: str, outcome: Outcome) -> None:
        del self._in_hand[WebhookID.of(delivery)]
        try:
            deliveries.finish(delivery, outcome, url)
        except Exception:
            # It will be sent again, when its lease has ended.
            logger.exception("delivery_not_kept", delivery=str(delivery.uuid))
            connections.close_all()

    def _finish(self) -> None:
        deadline = time.monotonic() + END_SECONDS
        while self._in_hand and time.monotonic() < deadline:
            self._take(deadline - time.monotonic())
        self._senders.close()
        self._take(0.0)
        for delivery in self._in_hand.values():
            try:
                deliveries.give_back(delivery)
            except Exception:
                logger.exception("delivery_not_given_back", delivery=str(delivery.uuid))


deliverer_thread = LoopThread("webhooks", Deliverer, "DELIVER_WEBHOOKS")
