"""In-process fan-out: keeps the latest event of each environment and delivers it to the subscribed streams.

Everything here runs in the event loop, so nothing is locked. What counts is the newest state, whether a change in this
process, the bus, a stream's first read or the reconcile brought it.
"""

import asyncio
import random
import time
from collections.abc import Collection, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, Protocol
from weakref import WeakKeyDictionary

import structlog

from realtime import bus, hosts
from realtime.bus.eventstream import EnvironmentListener, Received
from realtime.conf import conf
from realtime.delivery import herds, observers, sse
from realtime.delivery.limits import Limits, Rejected
from realtime.delivery.reader import StateReader
from realtime.delivery.reconcile import Reconcile
from realtime.delivery.sinks import Piece, piece
from realtime.delivery.timers import Timers, Waiting
from realtime.delivery.vitals import BusVitals
from realtime.monitoring import liveness, metrics
from realtime.types import EPOCH, EnvironmentKey, EnvironmentState, UpdatedAt

logger = structlog.get_logger(__name__)

# An event of this process whose version is further from the clock than this, in either direction, may have been held up
# while the gate was closed. So the state is read before it is delivered, which takes about a millisecond.
LATE_SECONDS = 0.25

# A spread event goes out in slices, and the gate is read before each.
SLICE_SECONDS = 0.1


class Subscriber(Waiting, Protocol):
    """Who wants an environment's frames. None of these may block or raise."""

    subscribed_at: float
    """The loop's time."""

    def deliver(self, frame: Piece) -> bool:
        """Take the latest frame, in place of one that still waits. Returns True if it was written at once."""

    def welcome(self, state: EnvironmentState | None, frame: Piece | None) -> None:
        """Take the state that ``Topic.ask_for`` has asked for, None where no environment has this key, and the frame
        that goes out now.
        """

    def unreadable(self) -> None:
        """The state could not be read."""

    def end_by(self, when: float) -> None:
        """End the stream at this time of the loop at the latest."""

    def fail(self) -> None:
        """Go, after one of these has raised all the same: the others must not suffer. Called where that is caught."""


class Topic:
    """An environment that somebody here streams."""

    def __init__(self, hub: "Hub", key: EnvironmentKey) -> None:
        self.hub = hub
        self.key = key
        self.subscribers: set[Subscriber] = set()
        self.state: EnvironmentState | None = None
        """The newest state that is known here."""
        self.frame: Piece | None = None
        """The event that was delivered last."""
        self.accepted_at = float("-inf")
        self.stale = False
        """Something may have been missed: the state has to be read again."""
        self._received = EPOCH
        """The newest version in an event, of this process or of the bus."""
        self._untold: dict[Subscriber, float] = {}
        self.spreading: asyncio.Task[None] | None = None
        self._repeat: asyncio.TimerHandle | None = None
        self._asked: asyncio.Future[EnvironmentState | None] | None = None
        self._newcomers: list[Subscriber] = []
        self._listener = EnvironmentListener(key, self._receive)

    def open(self) -> None:
        self._listener.start()

    def close(self) -> None:
        self._listener.stop()
        if self._repeat is not None:
            self._repeat.cancel()
        if self.spreading is not None:
            self.spreading.cancel()

    @property
    def is_closed(self) -> bool:
        """The gate is closed, as far as is known here. No event may be sent, not even one that waits for its client."""
        return self.state is not None and not self.state.streaming_enabled

    def offer(self, state: EnvironmentState) -> bool:
        """Accept a state that was read, or committed in this process. Returns True if it is delivered.

        A state is delivered if its gate is open and it is newer than the last event. It is delivered again if the gate
        was closed before, because streams have then dropped the events that waited for their clients.
        """
        if self.state is not None and state.updated_at < self.state.updated_at:
            if hosts.current().gate_is_versioned:
                return False
            # A real Flagsmith's versions may also fall a little. The gate is the one that was read last.
            state = state._replace(updated_at=self.state.updated_at)
        was_closed = self.is_closed
        self.state = state
        if not state.streaming_enabled:
            self._untold.clear()
            return False
        if not was_closed and self.updated_at is not None and state.updated_at <= self.updated_at:
            return False
        if self.updated_at is not None:
            # Who still waits for his moment will hear this one instead.
            self.hub.observer.superseded(self.key, self.updated_at, len(self._untold))
        self.frame = piece(sse.frame(state.updated_at), state.updated_at)
        window = herds.window(len(self.subscribers))
        if window > 0:
            self._spread_over(window)
        else:
            # A copy: a long poll ends with what it is given.
            self._deliver_first(list(self.subscribers))
        self._plan_repeat(first=self.accepted_at == float("-inf"))
        return True

    def accept_from_reconcile(self, state: EnvironmentState) -> None:
        """Accept a state that the reconcile has read, and count it if no event has announced it.

        A real Flagsmith's changes are not announced, so they are always found this way and not counted.
        """
        announced = self._received >= state.updated_at or conf.HOST == "flagsmith"
        if self.offer(state) and not self._newcomers and not announced:
            metrics.healed.add()
            self.hub.observer.healed(self.key, state.updated_at)

    def _deliver_first(self, subscribers: Collection[Subscriber]) -> None:
        """Deliver the frame to each, for the first time, and count it."""
        assert self.updated_at is not None
        began = time.time()
        written = self._deliver(subscribers)
        metrics.told(self.updated_at, written)
        self.hub.observer.delivered(self.key, self.updated_at, written, began)

    def _deliver(self, subscribers: Collection[Subscriber]) -> int:
        """Deliver the frame to each. Returns to how many of them it was written at once."""
        assert self.frame is not None
        unwritten = 0
        for subscriber in subscribers:
            try:
                if not subscriber.deliver(self.frame):
                    unwritten += 1
            except Exception:
                unwritten += 1
                subscriber.fail()
        return len(subscribers) - unwritten

    def _spread_over(self, seconds: float) -> None:
        """Tell each at a random moment of the window. Whoever still waits for an earlier event keeps his moment."""
        now = self.hub.loop.time()
        for subscriber in self.subscribers:
            self._untold.setdefault(subscriber, now + seconds * random.random())  # noqa: S311
        if self.spreading is None or self.spreading.done():
            self.spreading = self.hub.spawn(self._spread())

    async def _spread(self) -> None:
        """Tell the newest frame to those whose moment has come, until all have been told."""
        while self._untold:
            try:
                state = await self.hub.reader.state(self.key)
            except Exception:
                # The reader has said so. Nobody is told while nobody knows whether the gate is open.
                await asyncio.sleep(conf.RECONCILE_SECONDS)
                continue
            if state is None:
                self._untold.clear()
                break
            self.offer(state)
            now = self.hub.loop.time()
            come = [subscriber for subscriber, moment in self._untold.items() if moment <= now]
            for subscriber in come:
                del self._untold[subscriber]
            self._deliver_first(self.subscribers.intersection(come))
            await asyncio.sleep(SLICE_SECONDS)

    @property
    def updated_at(self) -> UpdatedAt | None:
        """The newest version that was told here."""
        return self.frame.updated_at if self.frame is not None else None

    def ask_for(self, subscriber: Subscriber) -> None:
        """Welcome the subscriber with a state that is read from now on. A herd's reads and answers are shared."""
        asked = self.hub.reader.ask(self.key)
        if asked is not self._asked:
            self._asked, self._newcomers = asked, []
            asked.add_done_callback(partial(self._welcome, self._newcomers))
        self._newcomers.append(subscriber)

    def leave(self, subscriber: Subscriber) -> None:
        """Deliver nothing to it any more."""
        self.subscribers.discard(subscriber)
        self._untold.pop(subscriber, None)
        self.hub.observer.audience_changed(self.key)
        if not self.subscribers and self.hub.topics.get(self.key) is self:
            del self.hub.topics[self.key]
            self.close()

    def remove(self, subscriber: Subscriber, address: str | None) -> None:
        """Forget a subscriber whose connection has ended. ``address`` as for ``Limits.admit``."""
        self.leave(subscriber)
        self.hub.limits.release(address)

    def _welcome(self, newcomers: list[Subscriber], asked: "asyncio.Future[EnvironmentState | None]") -> None:
        if asked.cancelled() or asked.exception() is not None:
            for subscriber in newcomers:
                subscriber.unreadable()
            return
        state = asked.result()
        if state is not None:
            self.offer(state)
            # A newer state may have come between the reading and this.
            state = self.state
        for subscriber in newcomers:
            # What it is welcomed with is the newest.
            self._untold.pop(subscriber, None)
            try:
                subscriber.welcome(state, self.frame)
            except Exception:
                subscriber.fail()
        # The topic still holds the list; those who go must not stay in it.
        newcomers.clear()

    def _receive(self, events: list[Received], overflow: bool) -> None:
        for event in events:
            self._accept(event.state, event.is_remote)
        if overflow:
            self.hub.refresh(self)

    def _accept(self, announced: EnvironmentState, is_remote: bool) -> None:
        """Accept the state of an event, which is the state as of the commit if it comes from this process in time.

        Otherwise the gate may have been closed since, or by the transaction that wrote the event: the state is read.
        """
        if self.state is not None and announced.updated_at <= self.state.updated_at:
            return
        self._received = max(self._received, announced.updated_at)
        if not is_remote and abs(time.time() - announced.updated_at.timestamp()) < LATE_SECONDS:
            self.offer(announced)
        else:
            self.hub.reader.ask(self.key).add_done_callback(partial(self._accept_read, announced))

    def _accept_read(self, announced: EnvironmentState, asked: "asyncio.Future[EnvironmentState | None]") -> None:
        if asked.cancelled() or asked.exception() is not None:
            self.hub.refresh(self)
            return
        state = hosts.current().newest(asked.result(), announced)
        if state is not None:
            self.offer(state)
        if state is None or state.updated_at < announced.updated_at:
            # A replica that lags.
            self.hub.refresh(self)

    def _plan_repeat(self, first: bool) -> None:
        """Say the last of close events again (or all): the JavaScript SDK drops one that arrives while it fetches."""
        now = self.hub.loop.time()
        close = conf.REPEAT_ALL or (not first and now - self.accepted_at < conf.REPEAT_SECONDS)
        self.accepted_at = now
        if close:
            if self._repeat is not None:
                self._repeat.cancel()
            self._repeat = self.hub.loop.call_later(conf.REPEAT_SECONDS, self._start_repeat)

    def _start_repeat(self) -> None:
        self.hub.spawn(self._say_again(self.accepted_at))

    async def _say_again(self, accepted_at: float) -> None:
        """The gate may have closed meanwhile, so this reads the state first."""
        try:
            state = await self.hub.reader.state(self.key)
        except Exception:
            # The reader has said so.
            self._repeat = self.hub.loop.call_later(conf.RECONCILE_SECONDS, self._start_repeat)
            return
        if state is not None:
            self.offer(state)
        if state is None or self.is_closed or accepted_at != self.accepted_at or self.frame is None:
            return
        # Whoever has not heard it once keeps his moment.
        heard = self.subscribers.difference(self._untold)
        metrics.repeated.add(
            self._deliver([subscriber for subscriber in heard if subscriber.subscribed_at < accepted_at])
        )


class Hub:
    """All topics of a process."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.reader = StateReader()
        self.timers = Timers(loop)
        self.topics: dict[EnvironmentKey, Topic] = {}
        self.limits = Limits(loop)
        self.rejected = Rejected(self)
        self.open = 0
        """Streams whose connection has not ended; in no topic any more once they have nothing else to say."""
        self.pulse = liveness.of(loop)
        BusVitals(self.pulse)
        self.observer = observers.of(self)
        self._drained_by: float | None = None
        self._attach_failed = False
        self._attaching: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._reconcile = Reconcile(self)
        self.spawn(self._reconcile.run())
        self._attach()

    def _attach(self) -> None:
        """Receive from the bus. If that fails, the reconcile does without it, and it is tried again."""
        try:
            bus.attach(self)
        except Exception:
            if not self._attach_failed:
                logger.exception("bus_attach_failed")
            self._attach_failed = True
            self._attaching = self.loop.call_later(conf.RECONCILE_SECONDS, self._attach)

    def join(self, key: EnvironmentKey, subscriber: Subscriber) -> Topic:
        """Deliver the environment's frames to the subscriber, until it leaves the topic."""
        topic = self.topics.get(key)
        if topic is None:
            topic = self.topics[key] = Topic(self, key)
            topic.open()
        topic.subscribers.add(subscriber)
        self._count_opened(subscriber)
        self.observer.audience_changed(key)
        return topic

    def audience(self, key: EnvironmentKey) -> int:
        """How many streams the environment has here."""
        topic = self.topics.get(key)
        return len(topic.subscribers) if topic is not None else 0

    def reject(self, subscriber: Subscriber) -> Rejected:
        """Keep a subscriber that has met a limit. Nothing is delivered to it, and it ends like all."""
        self.rejected.add(subscriber)
        self._count_opened(subscriber)
        return self.rejected

    def _count_opened(self, subscriber: Subscriber) -> None:
        self.open += 1
        metrics.streams_open.add()
        metrics.streams_opened.add()
        self._empty.clear()
        if self._drained_by is not None:
            subscriber.end_by(self._some_time_until(self._drained_by))

    def remove(self, topic: Topic | Rejected, subscriber: Subscriber, address: str | None) -> None:
        """Forget a subscriber whose connection has ended. ``address`` as for ``Limits.admit``."""
        topic.remove(subscriber, address)
        self.timers.drop(subscriber)
        self.open -= 1
        metrics.streams_open.add(-1)
        if not self.open:
            self._empty.set()

    @property
    def draining(self) -> bool:
        return self._drained_by is not None

    async def drain(self, seconds: float) -> None:
        """End all streams, spread over this window: SDKs connect again at once, and not all in one moment."""
        self._drained_by = self.loop.time() + seconds
        metrics.draining.set(1)
        metrics.drained.add(self.open)
        topics: list[Topic | Rejected] = [*self.topics.values(), self.rejected]
        for topic in topics:
            for subscriber in list(topic.subscribers):
                subscriber.end_by(self._some_time_until(self._drained_by))
        await self._empty.wait()

    async def emptied(self) -> None:
        """Wait until no stream is open."""
        await self._empty.wait()

    def end_newcomers(self) -> None:
        """The window is over: who still comes gets an end at once."""
        self._drained_by = self.loop.time()

    def refresh(self, topic: Topic) -> None:
        """Read the topic's state again, now, and until it succeeds at each reconcile."""
        topic.stale = True
        self._reconcile.look()

    def look(self) -> None:
        """The bus may have missed something: ask the database now. Called in any thread."""
        # A loop may have been closed without its hub.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._reconcile.look)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run this in the background; a failure is logged."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    async def close(self) -> None:
        """Stop what runs in the background, and be no longer the loop's."""
        _hubs.pop(self.loop, None)
        if self._attaching is not None:
            self._attaching.cancel()
        bus.detach(self)
        for task in self._tasks:
            task.cancel()
        self.timers.close()
        self.pulse.close()
        await self.reader.close()
        await self.observer.close()

    def _some_time_until(self, end: float) -> float:
        now = self.loop.time()
        return now + random.random() * max(0.0, end - now)  # noqa: S311

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("background_task_failed", exc_info=error)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def current() -> Hub:
    """The hub of the running event loop: of this process, where a server has one loop."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        hub = _hubs[loop] = Hub(loop)
    return hub
