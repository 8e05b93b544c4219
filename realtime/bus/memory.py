"""The memory bus: no connection between processes. Other processes find changes by the reconcile."""

from datetime import datetime

from django.utils import timezone

from realtime.bus.spec import Bus, Health


class MemoryBus(Bus):
    """For a single process, and for SQLite."""

    name = "memory"
    _since: datetime | None = None

    def start(self) -> None:
        self._since = self._since or timezone.now()

    def close(self, timeout: float = 0.0) -> None:
        self._since = None

    def health(self) -> Health:
        return Health(self.name, True, self._since)
