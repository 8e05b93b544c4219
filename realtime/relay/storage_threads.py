"""Calls the storage's methods in threads, and remembers whether it works."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

import structlog

from realtime.failure_log import FailureLog
from realtime.relay import relay_metrics
from realtime.relay.storage import Storage, StorageError

logger = structlog.get_logger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

PROBE_SECONDS = 0.001


class StorageThreads:
    """Threads for a storage. After a failure nothing waits for it, until ``probe`` has found that it works again."""

    def __init__(self, storage: Storage) -> None:
        self.failures = FailureLog(logger, "relay_storage_unavailable", "relay_storage_available")
        self._storage = storage
        self._loop = asyncio.get_running_loop()
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="relay-storage")

    async def __call__(self, method: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
        """The result of a method of the storage; None if it fails, or if the storage has failed before."""

        def attempt() -> T | None:
            return None if self.failures.is_failing else method(*args, **kwargs)

        return None if self.failures.is_failing else await self._run(attempt)

    async def probe(self) -> bool:
        """Write to the storage, also after a failure: a full disk can still be read. Returns whether it works."""
        if await self._run(lambda: self._storage.claim("probe", PROBE_SECONDS)) is None:
            return False
        self.failures.succeeded()
        return True

    async def _run(self, work: Callable[[], T]) -> T | None:
        try:
            return await self._loop.run_in_executor(self._threads, work)
        except StorageError as error:
            relay_metrics.stored_failures.add()
            self.failures.failed(error=str(error))
            return None

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
