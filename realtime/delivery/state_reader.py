"""Reads environments' states from the database for the event loop."""

import asyncio
from datetime import datetime

from realtime import hosts
from realtime.batching import Batcher, DatabaseThread
from realtime.types import EnvironmentKey, EnvironmentState


class StateReader:
    """Reads of one hub, in a thread. Raises what the database raises."""

    def __init__(self) -> None:
        self._thread = DatabaseThread("realtime-reader")
        self._states: Batcher[EnvironmentKey, EnvironmentState] = Batcher(
            self._thread, lambda keys: hosts.current().states(keys)
        )

    async def state(self, key: EnvironmentKey) -> EnvironmentState | None:
        """The environment's current state, or None if the key is unknown."""
        # Shielded: the future is shared, and the cancellation of one task must not cancel it for the others.
        return await asyncio.shield(self.submit(key))

    def submit(self, key: EnvironmentKey) -> "asyncio.Future[EnvironmentState | None]":
        """The same as a future. It is shared by all callers until the read begins, so it must not be cancelled."""
        return self._states.submit(key)

    async def changed_since(self, moment: datetime) -> list[EnvironmentState]:
        """The states of all environments whose version is later than this."""
        return await self._thread.run(lambda: hosts.current().changed_since(moment))
