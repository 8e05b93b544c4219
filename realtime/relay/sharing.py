"""Waits until all processes that share a storage hold a document.

A client may have its stream from one process, and refetch from another one: an event has to wait for all of them.
"""

import asyncio
from asyncio import Future
from collections.abc import Callable, Mapping

import structlog

from realtime.relay.storage import Storage
from realtime.relay.storage_threads import StorageThreads
from realtime.types import EnvironmentKey, UpdatedAt
from realtime.waiting import wait_for_event

logger = structlog.get_logger(__name__)

# While something waits, the other processes' versions are read at this interval.
CHECK_SECONDS = 0.01


class Sharing:
    """Documents that wait for the other processes.

    A round stores what this process holds and reads what the others hold, for all environments at once: rounds are
    not more frequent if more documents wait. With two relays, 500 environments, a Redis and 50 changes a second, rounds
    for each document raised the median time of an event from 0.1 to 0.9 s on a busy machine.
    """

    def __init__(self, storage: Storage, in_storage: StorageThreads) -> None:
        self._storage = storage
        self._in_storage = in_storage
        self._held: dict[EnvironmentKey, UpdatedAt] = {}
        """Held by this process, and not stored yet."""

        self._waiting: list[tuple[EnvironmentKey, UpdatedAt, Future[None]]] = []
        self._is_new = asyncio.Event()
        self._storing = asyncio.Lock()
        """An older version must not overwrite a newer one."""

    async def keep_alive(self, held: Callable[[], Mapping[EnvironmentKey, UpdatedAt]]) -> None:
        """Store the versions of all documents that this process holds when this is called; 1970: it has none yet."""
        async with self._storing:
            await self._in_storage(self._storage.keep_alive, held())

    async def all_hold(self, key: EnvironmentKey, version: UpdatedAt) -> None:
        """Return when all processes hold this version, as this one does, or a newer one; or if the storage fails."""
        held_by_all: Future[None] = asyncio.get_running_loop().create_future()
        self._held[key] = max(version, self._held.get(key, version))
        self._waiting.append((key, version, held_by_all))
        self._is_new.set()
        await held_by_all

    async def run(self) -> None:
        """Do rounds while something waits, until the task is cancelled."""
        while True:
            await wait_for_event(self._is_new, CHECK_SECONDS if self._waiting else None)
            self._is_new.clear()
            async with self._storing:
                held, self._held = self._held, {}
                waiting, self._waiting = self._waiting, []
                try:
                    others = await self._in_storage(self._exchange, held, {key for key, _, _ in waiting})
                except Exception:
                    logger.exception("relay_sharing_failed")
                    others = None
            for key, version, held_by_all in waiting:
                if held_by_all.cancelled():
                    continue
                if others is None or others.get(key, version) >= version:
                    held_by_all.set_result(None)
                else:
                    self._waiting.append((key, version, held_by_all))

    def _exchange(
        self, held: dict[EnvironmentKey, UpdatedAt], keys: set[EnvironmentKey]
    ) -> dict[EnvironmentKey, UpdatedAt]:
        """Store these versions, and read those of the others. Called in a thread."""
        if held:
            self._storage.acknowledge(held)
        return self._storage.oldest_held(keys)
