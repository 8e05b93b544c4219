"""The database for the event loop: in a thread of its own, and each read or write shared by all who ask meanwhile."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Generic, TypeVar

import structlog
from django.db import connections

from realtime.monitoring import liveness

logger = structlog.get_logger(__name__)

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")

CLOSE_SECONDS = 2.0

# Two shared reads begin at least so far apart: each takes the interpreter's lock away from the event loop, and a herd
# that connects would start one for every few of its clients. A read costs 0.15 ms, so these cost a twelfth of a core at
# most. Longer would be cheaper, but whoever asks again as soon as he has his answer would wait for nothing else.
GATHER_SECONDS = 0.002

# A read that fails after so long has waited for a database that does not answer. Who has asked meanwhile shares the
# failure: another read would make him wait as long again.
SLOW_FAILURE_SECONDS = 1.0

# Questions of one read: a query can hold only so many parameters.
MOST = 1_000


class ReadingThread:
    """One thread with one database connection, for one event loop.

    The connection stays open, so it does not come from Django's pool, whose connections are for requests. When it has
    ended, the thread connects again at the next read, without the pauses of a pool.
    """

    def __init__(self, name: str) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name, initializer=_leave_pools)
        self._part = liveness.current().part(name)
        self._part.rest()
        self._under_way = 0

    async def run(self, read: Callable[[], T]) -> T:
        """What ``read`` gives, after the reads that were there before. Raises whatever it raises."""
        if not self._under_way:
            self._part.progress()
        self._under_way += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._thread, _with_connection, read)
        finally:
            self._under_way -= 1
            if self._under_way:
                self._part.progress()
            else:
                self._part.rest()

    async def close(self) -> None:
        """Let the thread end, and its database connection with it; a query that hangs is not waited for."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self.run(connections.close_all)
        except TimeoutError:
            logger.warning("reader_hangs")
        self._thread.shutdown(wait=False, cancel_futures=True)


class SharedReads(Generic[K, V]):
    """One read at a time; whoever asks meanwhile shares the next one, for whatever he asks.

    So an answer always comes from a read that began after the question, and a herd of 10,000 that asks at once costs
    a few queries. ``read`` is called in the thread with all questions and answers each; what it leaves out is None.
    It may raise, then all who wait for it get that; ``failure`` is what is logged, once, until it succeeds again.
    ``gather`` is how far apart, in seconds, two begin at least; ``most`` is how many questions one has at most.
    ``group``: the group of a question. Groups take turns, so that many questions of one do not delay another's.
    """

    def __init__(
        self,
        thread: ReadingThread,
        read: Callable[[list[K]], dict[K, V]],
        failure: str = "states_unreadable",
        gather: float = GATHER_SECONDS,
        most: int = MOST,
        group: Callable[[K], Hashable] | None = None,
    ) -> None:
        self._thread = thread
        self._read = read
        self._failure = failure
        self._gather = gather
        self._most = most
        self._group = group
        self._read_last: dict[Hashable, int] = {}
        """By group of those that wait: the number of the read that had a question of it last."""
        self._number = 0
        self._asked: dict[K, asyncio.Future[V | None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._failing = False

    def ask(self, question: K) -> "asyncio.Future[V | None]":
        """The answer, as a future that all who ask the same meanwhile share: it is not to be cancelled."""
        future = self._asked.get(question)
        if future is None or future.done():
            # A caller may have cancelled it all the same. The others want an answer.
            future = self._asked[question] = asyncio.get_running_loop().create_future()
        if self._task is None:
            self._task = asyncio.create_task(self._answer())
        return future

    async def _answer(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._asked:
                began = loop.time()
                asked = {question: self._asked.pop(question) for question in self._next()}
                await self._answer_all(asked)
                if self._asked:
                    await asyncio.sleep(began + self._gather - loop.time())
        finally:
            self._task = None

    def _next(self) -> list[K]:
        """The questions of the next read."""
        if self._group is None or len(self._asked) <= self._most:
            return list(islice(self._asked, self._most))
        self._number += 1
        groups: dict[Hashable, deque[K]] = {}
        for question in self._asked:
            groups.setdefault(self._group(question), deque()).append(question)
        last = {group: self._read_last.get(group, 0) for group in groups}
        chosen: list[K] = []
        waiting = deque(sorted(groups, key=last.__getitem__))
        while len(chosen) < self._most:
            group = waiting.popleft()
            last[group] = self._number
            chosen.append(groups[group].popleft())
            if groups[group]:
                waiting.append(group)
        self._read_last = last
        return chosen

    async def _answer_all(self, asked: "dict[K, asyncio.Future[V | None]]") -> None:
        began = time.monotonic()
        try:
            answers = await self._thread.run(lambda: self._read(list(asked)))
        except Exception as error:
            if not self._failing:
                logger.warning(self._failure, error=repr(error))
            self._failing = True
            futures = [*asked.values()]
            if time.monotonic() - began > SLOW_FAILURE_SECONDS:
                futures += self._asked.values()
                self._asked.clear()
            for future in futures:
                if not future.done():
                    future.set_exception(error)
                    # Who waited may have gone; then nobody fetches the exception, and asyncio would complain.
                    future.exception()
            return
        self._failing = False
        for question, future in asked.items():
            if not future.done():
                future.set_result(answers.get(question))


def _leave_pools() -> None:
    """Give this thread connections that belong to no pool."""
    for alias in connections:
        connection = connections[alias].copy()
        if connection.settings_dict["OPTIONS"].pop("pool", None):
            connections[alias] = connection


def _with_connection(read: Callable[[], T]) -> T:
    """Read on the thread's own connection, which stays open; after a failure the next read gets a new one."""
    try:
        return read()
    except Exception:
        connections.close_all()
        raise
