"""Reading environments' states from the database for the event loop."""

import asyncio
from datetime import datetime

from realtime import hosts
from realtime.shared_reads import ReadingThread, SharedReads
from realtime.types import EnvironmentKey, EnvironmentState


class StateReader:
    """What an event loop's hub asks the host. Raises whatever the database raises."""

    def __init__(self) -> None:
        self._thread = ReadingThread("realtime-reader")
        self._states: SharedReads[EnvironmentKey, EnvironmentState] = SharedReads(
            self._thread, lambda keys: hosts.current().states(keys)
        )

    async def state(self, key: EnvironmentKey) -> EnvironmentState | None:
        """The environment's present state, or None when nobody knows the key."""
        # One of many who wait may be cancelled; the others still want the answer.
        return await asyncio.shield(self.ask(key))

    def ask(self, key: EnvironmentKey) -> "asyncio.Future[EnvironmentState | None]":
        """The same as a future that all who ask meanwhile share: it is not to be cancelled."""
        return self._states.ask(key)

    async def changed_since(self, moment: datetime) -> list[EnvironmentState]:
        """The states of all environments whose version is later than this."""
        return await self._thread.run(lambda: hosts.current().changed_since(moment))

    async def close(self) -> None:
        """Let the thread end, and its database connection with it; a query that hangs is not waited for."""
        await self._thread.close()
