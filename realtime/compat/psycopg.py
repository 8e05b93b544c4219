"""psycopg (tested: 3.3.9): a connection that notices a server which sends nothing.

Used: ``Connection.wait``, through which every method waits, and the generator that it gets. A generator yields what it
waits for, and is resumed with what is ready, or each tenth of a second with nothing.
"""

import time
from collections.abc import Generator
from typing import Any

import psycopg


class WatchedConnection(psycopg.Connection[Any]):
    """A connection that calls ``receives_nothing`` while it waits for the server."""

    def receives_nothing(self, seconds: float) -> bool:
        """Called each tenth of a second without data. True starts the count of seconds again; it may raise."""
        raise NotImplementedError

    def wait(self, gen: Any, *args: Any, **kwargs: Any) -> Any:
        return super().wait(self._watched(gen), *args, **kwargs)

    def _watched(self, gen: Any) -> Generator[Any, Any, Any]:
        received_at = time.monotonic()
        try:
            waits_for = next(gen)
            while True:
                ready = yield waits_for
                if ready or self.receives_nothing(time.monotonic() - received_at):
                    received_at = time.monotonic()
                waits_for = gen.send(ready)
        except StopIteration as stopped:
            return stopped.value
