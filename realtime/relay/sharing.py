"""Waits until all processes that share a storage hold a document.

A client may have its stream from one process, and refetch from another one: an event has to wait for all of them.
"""

import asyncio
from asyncio import Future
from collections.abc import Callable, Mapping
from math import inf

import structlog

from realtime.relay.storage import PROCESS_SECONDS, Held, Storage, microseconds
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

    def __init__(
        self,
        storage: Storage,
        in_storage: StorageThreads,
        all_held: Callable[[], Mapping[EnvironmentKey, UpdatedAt]],
    ) -> None:
        """``all_held`` returns the versions of all documents that this process holds; 1970: it has none yet."""
        self._storage = storage
        self._in_storage = in_storage
        self._all_held = all_held
        self._held: dict[EnvironmentKey, UpdatedAt] = {}
        """Held by this process, and not stored yet."""

        self._all_at = -inf
        """The loop's time at which all versions are stored: the sign that this process runs."""

        self._waiting: list[tuple[EnvironmentKey, int, Future[None]]] = []
        self._is_new = asyncio.Event()

    async def all_hold(self, key: EnvironmentKey, version: UpdatedAt) -> None:
        """Return when all processes hold this version, as this one does, or a newer one; or if the storage fails."""
        held_by_all: Future[None] = asyncio.get_running_loop().create_future()
        self._held[key] = max(version, self._held.get(key, version))
        self._waiting.append((key, microseconds(version), held_by_all))
        self._is_new.set()
        await held_by_all

    async def run(self) -> None:
        """Do rounds, often if something waits, until the task is cancelled."""
        while True:
            await wait_for_event(self._is_new, CHECK_SECONDS if self._waiting else PROCESS_SECONDS / 4)
            self._is_new.clear()
            await self.round()

    async def round(self) -> None:
        """Store what this process holds, and end the waiting for documents that all others hold."""
        now = asyncio.get_running_loop().time()
        if is_all := now >= self._all_at:
            self._all_at, self._held = now + PROCESS_SECONDS / 4, dict(self._all_held())
        held, self._held = self._held, {}
        waiting, self._waiting = self._waiting, []
        try:
            others = await self._in_storage(self._exchange, held, is_all, {key for key, _, _ in waiting})
        except Exception:
            logger.exception("relay_sharing_failed")
            others = None
        for key, version, held_by_all in waiting:
            if held_by_all.cancelled():
                continue
            if others is None or all(each.get(key, version) >= version for each in others):
                held_by_all.set_result(None)
            else:
                self._waiting.append((key, version, held_by_all))

    def _exchange(
        self, held: Mapping[EnvironmentKey, UpdatedAt], is_all: bool, keys: set[EnvironmentKey]
    ) -> list[Held]:
        """Store these versions, and read those of the others. Called in a thread."""
        if held or is_all:
            self._storage.hold({key: microseconds(version) for key, version in held.items()}, is_all=is_all)
        return self._storage.held_by_others(keys) if keys else []
