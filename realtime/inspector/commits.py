"""Times of commits: received in any thread, and taken by the journal of this process."""

import time
from collections import deque
from collections.abc import Iterable
from typing import Any, NamedTuple

from realtime.types import EnvironmentKey, EnvironmentState, UpdatedAt


class Commit(NamedTuple):
    key: EnvironmentKey
    updated_at: UpdatedAt
    at: float
    """Seconds since the epoch."""


class Commits:
    """The newest commits, while somebody takes them. Safe in any thread."""

    MOST = 10_000

    def __init__(self) -> None:
        self.takers = 0
        """How many journals there are in this process."""
        self._commits: deque[Commit] = deque(maxlen=self.MOST)

    def receive(self, states: Iterable[EnvironmentState], **kwargs: Any) -> None:
        """The receiver of ``realtime.changes.versions.committed``."""
        if self.takers:
            now = time.time()
            self._commits.extend([Commit(state.key, state.updated_at, now) for state in states if state.live])

    def take(self) -> list[Commit]:
        """What was noted since the last time."""
        return [self._commits.popleft() for _ in range(len(self._commits))]


commits = Commits()
"""This process's."""
