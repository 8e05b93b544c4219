"""In-process fan-out: keeps the latest event of each environment and delivers it to the subscribed streams.

Everything here runs in the event loop, so nothing needs a lock. States come from changes in this process, from the bus,
from reads for new streams and from the reconcile. Only the newest one counts.
"""

import asyncio
import random
import time
from collections.abc import Collection, Coroutine
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import structlog

from realtime import bus, hosts, runtime
from realtime.batching import Batcher, DatabaseThread
from realtime.bus.eventstream import EnvironmentListener, Received
from realtime.conf import conf
from realtime.delivery import observers, spread, sse
from realtime.delivery.bus_monitor import BusMonitor
from realtime.delivery.limits import Limits, RejectedStreams
from realtime.delivery.reconcile import Reconcile
from realtime.delivery.sinks import Piece, piece
from realtime.delivery.timers import Timers
from realtime.failure_log import FailureLog
from realtime.monitoring import liveness, metrics
from realtime.types import EPOCH, EnvironmentKey, EnvironmentState, UpdatedAt

if TYPE_CHECKING:
    from realtime.delivery.stream import Stream

logger = structlog.get_logger(__name__)

# An event of this process is delivered without a read if its version is within this distance of the clock. An older one
# may have been delayed while the gate was closed, so the state is read first, which takes about a millisecond.
MAX_EVENT_AGE_SECONDS = 0.25

# A spread event is delivered in slices of this length. The gate is read before each slice.
SLICE_SECONDS = 0.1


class Topic:
    """An environment that has streams in this process."""

    def __init__(self, hub: "Hub", key: EnvironmentKey) -> None:
        self.hub = hub
        self.key = key
        self.subscribers: set[Stream] = set()
        self.windows: set[Stream] = set()
        """The subscribers that are no applications."""
        self.state: EnvironmentState | None = None
        """The newest state that this topic has accepted."""
        self.frame: Piece | None = None
        """The event that was delivered last."""
        self.accepted_at = float("-inf")
        self.stale = False
        """An event may have been missed, so the state has to be read again."""
        self._received = EPOCH
        """The newest version that an event has announced, from this process or from the bus."""
        self._pending: dict[Stream, float] = {}
        """Delivery times of a spread event, by subscriber."""
        self.spreading: asyncio.Task[None] | None = None
        self._repeat_timer: asyncio.TimerHandle | None = None
        self._read: asyncio.Future[EnvironmentState | None] | None = None
        self._new_subscribers: list[Stream] = []
        self._listener = EnvironmentListener(key, self._receive)

    def open(self) -> None:
        self._listener.start()

    def close(self) -> None:
        self._listener.stop()
        if self._repeat_timer is not None:
            self._repeat_timer.cancel()
        if self.spreading is not None:
            self.spreading.cancel()

    @property
    def is_closed(self) -> bool:
        """True if the gate is closed. Then no event may be sent, not even one that waits for a slow client."""
        return self.state is not None and not self.state.streaming_enabled

    def accept(self, state: EnvironmentState) -> bool:
        """Accept a state that was read, or committed in this process. Returns True if it is delivered.

        A state is delivered if its gate is open and it is newer than the last event. If the gate was closed before, it
        is delivered even if it is not newer, because streams drop their pending events while the gate is closed.
        """
        if self.state is not None and state.updated_at < self.state.updated_at:
            if hosts.current().gate_is_versioned:
                return False
            # A real Flagsmith's version may decrease slightly, while its gate may have changed: keep the newer version.
            state = state._replace(updated_at=self.state.updated_at)
        was_closed = self.is_closed
        if self.windows and (self.state is None or state.updated_at > self.state.updated_at):
            # Whether or not the gate is open.
            self._deliver(list(self.windows), piece(sse.frame(state.updated_at), state.updated_at))
        self.state = state
        if not state.streaming_enabled:
            self._pending.clear()
            return False
        if not was_closed and self.updated_at is not None and state.updated_at <= self.updated_at:
            return False
        if self.updated_at is not None:
            # Subscribers that still wait for the previous event get this one instead.
            self.hub.observer.superseded(self.key, self.updated_at, len(self._pending))
        self.frame = piece(sse.frame(state.updated_at), state.updated_at)
        window = spread.window(len(self.subscribers))
        if window > 0:
            self._spread_over(window)
        else:
            # A copy, because a long poll unsubscribes when an event is delivered to it.
            self._deliver_first(list(self.subscribers))
        self._schedule_repeat(first=self.accepted_at == float("-inf"))
        return True

    def reconcile(self, state: EnvironmentState) -> None:
        """Accept a state that the reconcile has read, and count it if no event has announced it."""
        announced = self._received >= state.updated_at
        if self.accept(state) and not self._new_subscribers and not announced and hosts.current().count_found():
            self.hub.observer.healed(self.key, state.updated_at)

    def _deliver_first(self, subscribers: "Collection[Stream]") -> None:
        """Deliver the frame to these subscribers for the first time, and count the deliveries."""
        assert self.frame is not None
        assert self.updated_at is not None
        began = time.time()
        written = self._deliver(subscribers, self.frame)
        metrics.count_delivered(self.updated_at, written)
        self.hub.observer.delivered(self.key, self.updated_at, written, began)

    def _deliver(self, subscribers: "Collection[Stream]", frame: Piece) -> int:
        """Deliver a frame to these subscribers. Returns the number to which it was written immediately."""
        unwritten = 0
        for subscriber in subscribers:
            try:
                if not subscriber.deliver(frame):
                    unwritten += 1
            except Exception:
                unwritten += 1
                subscriber.fail()
        return len(subscribers) - unwritten

    def _spread_over(self, seconds: float) -> None:
        """Give each subscriber a random delivery time within the window.

        A subscriber that still waits for an earlier event keeps its time.
        """
        now = self.hub.loop.time()
        for subscriber in self.subscribers:
            self._pending.setdefault(subscriber, now + seconds * random.random())  # noqa: S311
        if self.spreading is None or self.spreading.done():
            self.spreading = self.hub.spawn(self._spread())

    async def _spread(self) -> None:
        """Deliver the newest frame to each subscriber at its time, until none is pending."""
        while self._pending:
            try:
                state = await self.hub.reader.result(self.key)
            except Exception:
                # The reader has logged it. The gate may be closed, so nothing is delivered.
                await asyncio.sleep(conf.RECONCILE_SECONDS)
                continue
            if state is None:
                self._pending.clear()
                break
            self.accept(state)
            now = self.hub.loop.time()
            due = [subscriber for subscriber, when in self._pending.items() if when <= now]
            for subscriber in due:
                del self._pending[subscriber]
            self._deliver_first(self.subscribers.intersection(due))
            await asyncio.sleep(SLICE_SECONDS)

    @property
    def updated_at(self) -> UpdatedAt | None:
        """The version of the event that was delivered last."""
        return self.frame.updated_at if self.frame is not None else None

    def request_state(self, subscriber: "Stream") -> None:
        """Call the subscriber's ``initialize`` with a state whose read begins after this call.

        Subscribers that call this before the read begins share it.
        """
        read = self.hub.reader.submit(self.key)
        if read is not self._read:
            self._read, self._new_subscribers = read, []
            read.add_done_callback(partial(self._initialize, self._new_subscribers))
        self._new_subscribers.append(subscriber)

    def unsubscribe(self, subscriber: "Stream") -> None:
        """Deliver nothing more to this subscriber. The topic closes with its last one."""
        self.subscribers.discard(subscriber)
        self.windows.discard(subscriber)
        self._pending.pop(subscriber, None)
        self.hub.observer.stream_count_changed(self.key)
        if not self.subscribers and not self.windows and self.hub.topics.get(self.key) is self:
            del self.hub.topics[self.key]
            self.close()

    def remove(self, subscriber: "Stream", address: str | None) -> None:
        """Remove a subscriber whose connection has ended. ``address`` as for ``Limits.admit``."""
        self.unsubscribe(subscriber)
        self.hub.limits.release(address)

    def _initialize(self, new_subscribers: "list[Stream]", read: "asyncio.Future[EnvironmentState | None]") -> None:
        if read.cancelled() or read.exception() is not None:
            for subscriber in new_subscribers:
                subscriber.state_unavailable()
            return
        state = read.result()
        if state is not None:
            self.accept(state)
            # A newer state may have been accepted since the read.
            state = self.state
        for subscriber in new_subscribers:
            # It gets the newest frame now.
            self._pending.pop(subscriber, None)
            try:
                subscriber.initialize(state, self.frame)
            except Exception:
                subscriber.fail()
        # The topic still refers to the list, which must not keep closed streams in memory.
        new_subscribers.clear()

    def _receive(self, events: list[Received], overflow: bool) -> None:
        for event in events:
            self._receive_event(event.state, event.is_remote)
        if overflow:
            self.hub.refresh(self)

    def _receive_event(self, announced: EnvironmentState, is_remote: bool) -> None:
        """Accept the state of an event.

        A recent event of this process holds the state as of its commit. For any other event the state is read first:
        the gate may have been closed since, or by the transaction that wrote the event.
        """
        if self.state is not None and announced.updated_at <= self.state.updated_at:
            return
        self._received = max(self._received, announced.updated_at)
        is_recent = abs(time.time() - announced.updated_at.timestamp()) < MAX_EVENT_AGE_SECONDS
        if not is_remote and is_recent and hosts.current().serves_committed_versions:
            self._accept_event(announced)
        else:
            self.hub.reader.submit(self.key).add_done_callback(partial(self._receive_read, announced))

    def _receive_read(self, announced: EnvironmentState, read: "asyncio.Future[EnvironmentState | None]") -> None:
        if read.cancelled() or read.exception() is not None:
            self.hub.refresh(self)
            return
        state = hosts.current().newest(read.result(), announced)
        if state is not None:
            self._accept_event(state)
        if state is None or state.updated_at < announced.updated_at:
            # A database replica lags.
            self.hub.refresh(self)

    def _accept_event(self, state: EnvironmentState) -> None:
        if self.accept(state):
            hosts.current().count_announced()

    def _schedule_repeat(self, first: bool) -> None:
        """Repeat the later of two close events (``REALTIME_REPEAT_ALL``: every event).

        The JavaScript SDK ignores an event that arrives while it fetches the flags for the previous one.
        """
        now = self.hub.loop.time()
        close = conf.REPEAT_ALL or (not first and now - self.accepted_at < conf.REPEAT_SECONDS)
        self.accepted_at = now
        if close:
            if self._repeat_timer is not None:
                self._repeat_timer.cancel()
            self._repeat_timer = self.hub.loop.call_later(conf.REPEAT_SECONDS, self._start_repeat)

    def _start_repeat(self) -> None:
        self.hub.spawn(self._repeat_event(self.accepted_at))

    async def _repeat_event(self, accepted_at: float) -> None:
        """Deliver the last event again, after a read of the state, because the gate may have closed."""
        try:
            state = await self.hub.reader.result(self.key)
        except Exception:
            # The reader has logged it.
            self._repeat_timer = self.hub.loop.call_later(conf.RECONCILE_SECONDS, self._start_repeat)
            return
        if state is not None:
            self.accept(state)
        if state is None or self.is_closed or accepted_at != self.accepted_at or self.frame is None:
            return
        # Subscribers that still wait for the first delivery keep their time.
        delivered = self.subscribers.difference(self._pending)
        earlier = [subscriber for subscriber in delivered if subscriber.subscribed_at < accepted_at]
        metrics.repeated.add(self._deliver(earlier, self.frame))


class Hub:
    """All topics of a process."""

    def __init__(self) -> None:
        self.loop = loop = asyncio.get_running_loop()
        self.thread = DatabaseThread("realtime-reader")
        self.reader: Batcher[EnvironmentKey, EnvironmentState] = Batcher(
            self.thread, lambda keys: hosts.current().states(keys)
        )
        self.timers = runtime.current().get(Timers)
        self.topics: dict[EnvironmentKey, Topic] = {}
        self.limits = Limits(loop)
        self.rejected = RejectedStreams(self)
        self.open_count = 0
        """The number of streams whose connection is open. A stream that is ending is in no topic any more."""
        self.pulse = liveness.current()
        BusMonitor(self.pulse)
        self.observer = observers.of(self)
        self._drained_by: float | None = None
        self._attach_failures = FailureLog(logger, "bus_attach_failed", has_stack=True)
        self._attaching: asyncio.TimerHandle | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._empty = asyncio.Event()
        self._empty.set()
        self._reconcile = Reconcile(self)
        self.spawn(self._reconcile.run())
        self._attach()
        runtime.current().on_close(self._close)

    def _attach(self) -> None:
        """Start to receive from the bus, and retry until it succeeds. Meanwhile the reconcile finds all changes."""
        try:
            bus.attach(self)
        except Exception as error:
            self._attach_failures.failed(error)
            self._attaching = self.loop.call_later(conf.RECONCILE_SECONDS, self._attach)

    def subscribe(self, key: EnvironmentKey, subscriber: "Stream") -> Topic:
        """Deliver the environment's frames to the subscriber, until it unsubscribes from the returned topic."""
        topic = self.topics.get(key)
        if topic is None:
            topic = self.topics[key] = Topic(self, key)
            topic.open()
        (topic.subscribers if subscriber.is_application else topic.windows).add(subscriber)
        self._count_opened(subscriber)
        self.observer.stream_count_changed(key)
        return topic

    def stream_count(self, key: EnvironmentKey) -> int:
        """The number of the environment's streams in this process."""
        topic = self.topics.get(key)
        return len(topic.subscribers) if topic is not None else 0

    def window_count(self, key: EnvironmentKey) -> int:
        """The number of windows of the dashboard that this process updates for the environment."""
        topic = self.topics.get(key)
        return len(topic.windows) if topic is not None else 0

    def reject(self, subscriber: "Stream") -> RejectedStreams:
        """Count a subscriber over a limit. Nothing is delivered to it, and it ends like the others."""
        self.rejected.add(subscriber)
        self._count_opened(subscriber)
        return self.rejected

    def _count_opened(self, subscriber: "Stream") -> None:
        self.open_count += 1
        if subscriber.is_application:
            metrics.streams_open.add()
            metrics.streams_opened.add()
        else:
            metrics.windows_open.add()
        self._empty.clear()
        if self._drained_by is not None:
            subscriber.end_by(self._random_time_until(self._drained_by))

    def remove(self, topic: Topic | RejectedStreams, subscriber: "Stream", address: str | None) -> None:
        """Remove a subscriber whose connection has ended. ``address`` as for ``Limits.admit``."""
        topic.remove(subscriber, address)
        self.timers.cancel(subscriber)
        self.open_count -= 1
        (metrics.streams_open if subscriber.is_application else metrics.windows_open).add(-1)
        if not self.open_count:
            self._empty.set()

    @property
    def draining(self) -> bool:
        return self._drained_by is not None

    async def drain(self, seconds: float) -> None:
        """End all streams, spread over this window, because SDKs reconnect immediately."""
        self._drained_by = self.loop.time() + seconds
        metrics.draining.set(1)
        metrics.drained.add(self.open_count)
        topics: list[Topic | RejectedStreams] = [*self.topics.values(), self.rejected]
        for topic in topics:
            for subscriber in [*topic.subscribers, *topic.windows]:
                subscriber.end_by(self._random_time_until(self._drained_by))
        await self._empty.wait()

    async def wait_until_empty(self) -> None:
        """Wait until no stream is open."""
        await self._empty.wait()

    def end_new_streams(self) -> None:
        """End new streams as soon as they open. Called when the drain's window is over."""
        self._drained_by = self.loop.time()

    def refresh(self, topic: Topic) -> None:
        """Read the topic's state again now. If that fails, each reconcile tries again."""
        topic.stale = True
        self._reconcile.wake()

    def reconcile_now(self) -> None:
        """Start a reconcile now, because the bus may have missed events. May be called in any thread."""
        # A loop may have been closed, and its hub not.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._reconcile.wake)

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Run a coroutine in a background task. A failure is logged."""
        task = self.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    async def _close(self) -> None:
        """Stop all background work."""
        if self._attaching is not None:
            self._attaching.cancel()
        bus.detach(self)
        for task in self._tasks:
            task.cancel()
        await self.observer.close()

    def _random_time_until(self, end: float) -> float:
        now = self.loop.time()
        return now + random.random() * max(0.0, end - now)  # noqa: S311

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("background_task_failed", exc_info=error)


def current() -> Hub:
    """The hub of the running event loop. A server process has one loop, and so one hub."""
    return runtime.current().get(Hub)
