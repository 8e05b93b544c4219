"""Reading environments' states from the database for the event loop, in a thread of its own."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TypeVar

import structlog
from django.db import connections

from realtime import hosts
from realtime.types import EnvironmentKey, EnvironmentState

logger = structlog.get_logger(__name__)

T = TypeVar("T")

CLOSE_SECONDS = 2.0


class StateReader:
    """One query at a time; whoever asks meanwhile shares the next one, for whichever environment.

    So an answer always comes from a read that began after the question, and a herd of 10,000 that connect at once
    costs a few queries. Raises whatever the database raises, to each who waits for that query.
    """

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="realtime-reader")
        self._asked: dict[EnvironmentKey, asyncio.Future[EnvironmentState | None]] = {}
        self._task: asyncio.Task[None] | None = None
        self._failing = False

    async def state(self, key: EnvironmentKey) -> EnvironmentState | None:
        """The environment's present state, or None when nobody knows the key."""
        # One of many who wait may be cancelled; the others still want the answer.
        return await asyncio.shield(self.ask(key))

    def ask(self, key: EnvironmentKey) -> "asyncio.Future[EnvironmentState | None]":
        """The same as a future that all who ask meanwhile share: it is not to be cancelled."""
        future = self._asked.get(key)
        if future is None:
            future = self._asked[key] = asyncio.get_running_loop().create_future()
        if self._task is None:
            self._task = asyncio.create_task(self._answer())
        return future

    async def moved_since(self, moment: datetime) -> list[EnvironmentState]:
        """The states of all environments whose version is later than this."""
        return await self._run(lambda: hosts.current().moved_since(moment))

    async def close(self) -> None:
        """Let the thread end, and its database connection with it; a query that hangs is not waited for."""
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._run(connections.close_all)
        except TimeoutError:
            logger.warning("reader_hangs")
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _answer(self) -> None:
        try:
            while self._asked:
                asked, self._asked = self._asked, {}
                await self._answer_batch(asked)
        finally:
            self._task = None

    async def _answer_batch(self, asked: dict[EnvironmentKey, asyncio.Future[EnvironmentState | None]]) -> None:
        try:
            states = await self._run(lambda: hosts.current().states(list(asked)))
        except Exception as error:
            if not self._failing:
                logger.warning("states_unreadable", error=repr(error))
            self._failing = True
            for future in asked.values():
                future.set_exception(error)
                # Who waited may have gone; then nobody fetches the exception, and asyncio would complain.
                future.exception()
            return
        self._failing = False
        for key, future in asked.items():
            future.set_result(states.get(key))

    async def _run(self, read: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, _with_connection, read)


def _with_connection(read: Callable[[], T]) -> T:
    """Read on the thread's own connection, which stays open; after a failure the next read gets a new one."""
    try:
        return read()
    except Exception:
        connections.close_all()
        raise
