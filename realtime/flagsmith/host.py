"""The host of a real Flagsmith, with its models: ``REALTIME_HOST=flagsmith``."""

from collections.abc import Collection, Iterable
from datetime import datetime

from realtime.conf import conf
from realtime.flagsmith import cache_notifier
from realtime.flagsmith.cache_notifier import MAX_TASK_DELAY
from realtime.hosts import EmbeddedHost
from realtime.monitoring import metrics
from realtime.types import EnvironmentID, EnvironmentKey, EnvironmentState, UpdatedAt


class FlagsmithHost(EmbeddedHost):
    """A Flagsmith whose own processes have this app: their versions are raised there."""

    owns_models = False
    raises_in_flagsmith = True

    gate_is_versioned = False
    """The switch may also be changed by SQL. Then no version is raised."""

    serves_committed_versions = False
    """Flagsmith's processes cache environments."""

    def states(self, keys: Collection[EnvironmentKey]) -> dict[EnvironmentKey, EnvironmentState]:
        found = super().states(keys)
        self._wait_for_caches(found.values())
        return found

    def changed_since(self, moment: datetime) -> list[EnvironmentState]:
        """As above, but back to ``MAX_TASK_DELAY`` before the moment.

        If a process of Flagsmith does not have this app, a task writes the time of its changes later. Looking back
        costs nothing extra: Flagsmith's table of environments has no index on ``updated_at``, so the query scans the
        table in any case.
        """
        changed = super().changed_since(moment - MAX_TASK_DELAY)
        self._wait_for_caches(changed)
        return changed

    def _wait_for_caches(self, states: Iterable[EnvironmentState]) -> None:
        """Wait after each read of what streams get. If this fails, nothing is delivered, and is read again."""
        cache_notifier.wait_for_caches(states)

    def count_announced(self) -> None:
        metrics.flagsmith_events["signals"].add()

    def count_found(self) -> bool:
        metrics.flagsmith_events["following"].add()
        return False


class FollowedFlagsmithHost(FlagsmithHost):
    """A Flagsmith that raises its versions itself, some time after the change. Nothing of its is written."""

    raises_in_flagsmith = False

    def _wait_for_caches(self, states: Iterable[EnvironmentState]) -> None:
        """Flagsmith's processes do not have this app."""

    def lock(self, ids: Iterable[EnvironmentID], exclusive: bool = False) -> dict[EnvironmentID, UpdatedAt]:
        return {}

    def raise_versions(self, ids: Iterable[EnvironmentID], silent: bool) -> dict[EnvironmentID, EnvironmentState]:
        return {}


def of_mode() -> FlagsmithHost:
    """The host in the mode that ``REALTIME_FLAGSMITH`` names."""
    return FlagsmithHost() if conf.FLAGSMITH == "signals" else FollowedFlagsmithHost()
