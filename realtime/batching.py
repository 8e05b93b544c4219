"""Batched database access for the event loop: one thread, and one call for all requests made during another call."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Generic, TypeVar

import structlog
from django.db import InterfaceError, OperationalError, connections

from realtime import runtime
from realtime.failure_log import FailureLog
from realtime.monitoring import liveness

logger = structlog.get_logger(__name__)

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

CLOSE_SECONDS = 2.0

# The shortest time between the starts of two batches. Each batch takes the interpreter's lock away from the event loop,
# and without a minimum there would be one for every few of many clients that connect at once. A read costs 0.15 ms, so
# at most a twelfth of a core is used. A longer time would be cheaper, but would delay clients that read continuously.
MIN_INTERVAL_SECONDS = 0.002

# If a batch fails after this time, the database was not answering. The requests made meanwhile then fail with it,
# because another attempt would make them wait as long again.
SLOW_FAILURE_SECONDS = 1.0

# A call on a closed connection fails at once. One that fails after more than this time was a timeout: not repeated.
MAX_RETRIED_SECONDS = 1.0

# Requests in one batch: the number of a query's parameters is limited.
MAX_BATCH = 1_000


class DatabaseThread:
    """One thread with one database connection, for one event loop, whose runtime closes it.

    The connection stays open, so it is not from Django's pool, whose connections are for requests. If the database has
    closed it, a call is repeated on a new one.
    """

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name, initializer=_leave_pools)
        self._part = liveness.current().part(name)
        self._part.rest()
        self._pending = 0
        self._is_closed = False
        runtime.current().on_close(self.close)

    async def run(self, function: Callable[[], T]) -> T:
        """Call the function in the thread, after all earlier calls. Returns its result, or raises its exception."""
        if not self._pending:
            self._part.progress()
        self._pending += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, _with_connection, function)
        finally:
            self._pending -= 1
            if self._pending:
                self._part.progress()
            else:
                self._part.rest()

    async def close(self) -> None:
        """End the thread and close its database connection, without waiting for a query that hangs."""
        if self._is_closed:
            return
        self._is_closed = True
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.run(connections.close_all)
        except TimeoutError:
            logger.warning("reader_hangs")
        self._thread.shutdown(wait=False, cancel_futures=True)


class Batcher(Generic[K, V]):
    """Runs one batch at a time. Requests made meanwhile form the next batch, and equal requests share one result.

    So a result always comes from a call that began after the request, and 10,000 simultaneous requests cost a few
    queries. ``process`` is called in the thread with all requests of a batch, and returns their results; a request that
    it leaves out gets None. If it raises, all requests of the batch get the exception, and ``failure_event`` is logged,
    once until a batch succeeds again. ``min_interval``: the seconds between the starts of two batches.
    ``max_batch``: the number of requests in one batch. ``group``: returns the group of a request; groups take turns, so
    that many requests of one group do not delay another's. ``timeout``: the seconds after which a request without a
    result gets TimeoutError; its batch continues.
    """

    def __init__(
        self,
        thread: DatabaseThread,
        process: Callable[[list[K]], dict[K, V]],
        failure_event: str = "states_unreadable",
        min_interval: float = MIN_INTERVAL_SECONDS,
        max_batch: int = MAX_BATCH,
        group: Callable[[K], Hashable] | None = None,
        timeout: float | None = None,
    ) -> None:
        self._thread = thread
        self._process = process
        self._min_interval = min_interval
        self._max_batch = max_batch
        self._group = group
        self._timeout = timeout
        self._unanswered: deque[tuple[float, asyncio.Future[V | None]]] = deque()
        """The futures without a result, with their deadlines, if there is a timeout."""
        self._last_batch_of: dict[Hashable, int] = {}
        """The number of the last batch with a request of the group, by group that has pending requests."""
        self._batch_number = 0
        self._pending: dict[K, asyncio.Future[V | None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._failures = FailureLog(logger, failure_event)

    def submit(self, request: K) -> "asyncio.Future[V | None]":
        """The result, as a future. Equal pending requests share it, so it must not be cancelled."""
        future = self._pending.get(request)
        if future is None or future.done():
            # If a caller has cancelled the future nevertheless, the others get a new one.
            loop = asyncio.get_running_loop()
            future = self._pending[request] = loop.create_future()
            if self._timeout is not None:
                self._unanswered.append((loop.time() + self._timeout, future))
                if len(self._unanswered) == 1:
                    loop.call_later(self._timeout, self._expire)
        if self._task is None:
            self._task = asyncio.create_task(self._run())
        return future

    async def result(self, request: K) -> V | None:
        """Wait for the result. The task that waits may be cancelled: the others still get theirs."""
        return await asyncio.shield(self.submit(request))

    def _expire(self) -> None:
        """Fail the futures that are past their deadlines, and come back at the next deadline."""
        loop = asyncio.get_running_loop()
        while self._unanswered:
            deadline, future = self._unanswered[0]
            if not future.done():
                if deadline > loop.time():
                    loop.call_at(deadline, self._expire)
                    return
                _fail(future, TimeoutError())
            self._unanswered.popleft()

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._pending:
                began = loop.time()
                batch = {request: self._pending.pop(request) for request in self._next()}
                await self._run_batch(batch)
                if self._pending:
                    await asyncio.sleep(began + self._min_interval - loop.time())
        finally:
            self._task = None

    def _next(self) -> list[K]:
        """The requests of the next batch."""
        if self._group is None or len(self._pending) <= self._max_batch:
            return list(islice(self._pending, self._max_batch))
        self._batch_number += 1
        groups: dict[Hashable, deque[K]] = {}
        for request in self._pending:
            groups.setdefault(self._group(request), deque()).append(request)
        last = {group: self._last_batch_of.get(group, 0) for group in groups}
        chosen: list[K] = []
        queue = deque(sorted(groups, key=last.__getitem__))
        while len(chosen) < self._max_batch:
            group = queue.popleft()
            last[group] = self._batch_number
            chosen.append(groups[group].popleft())
            if groups[group]:
                queue.append(group)
        self._last_batch_of = last
        return chosen

    async def _run_batch(self, batch: "dict[K, asyncio.Future[V | None]]") -> None:
        began = time.monotonic()
        try:
            results = await self._thread.run(lambda: self._process(list(batch)))
        except Exception as error:
            self._failures.failed(error)
            futures = [*batch.values()]
            if time.monotonic() - began > SLOW_FAILURE_SECONDS:
                futures += self._pending.values()
                self._pending.clear()
            for future in futures:
                if not future.done():
                    _fail(future, error)
            return
        self._failures.succeeded()
        for request, future in batch.items():
            if not future.done():
                future.set_result(results.get(request))


def _fail(future: "asyncio.Future[V]", error: Exception) -> None:
    future.set_exception(error)
    # Mark it as retrieved: if all waiting tasks were cancelled, asyncio would log it as unretrieved.
    future.exception()


def retried(function: Callable[[], T]) -> T:
    """Call the function, and again on new connections if the database had closed this thread's.

    It must be repeatable, and not be called in a transaction.
    """
    began = time.monotonic()
    try:
        return function()
    except (OperationalError, InterfaceError):
        if time.monotonic() - began > MAX_RETRIED_SECONDS:
            raise
    connections.close_all()
    return function()


def _leave_pools() -> None:
    """Give this thread connections that belong to no pool."""
    for alias in connections:
        connection = connections[alias].copy()
        if connection.settings_dict["OPTIONS"].pop("pool", None):
            connections[alias] = connection


def _with_connection(function: Callable[[], T]) -> T:
    """Call the function on the thread's own connection, which stays open. After a failure the next call connects."""
    try:
        return retried(function)
    except Exception:
        connections.close_all()
        raise
