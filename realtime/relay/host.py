"""The relay's host: environments whose documents it holds, and those of a drop-in server.

An environment of the configuration has the newest version whose document all processes serve, so no event precedes
its document. A version that is posted for it only starts a fetch. Other keys are those of a drop-in server: the
posted version is stored and sent.
"""

from collections.abc import Collection, Mapping
from datetime import datetime

from realtime import hosts, posted_versions
from realtime.relay import environments
from realtime.types import EnvironmentKey, EnvironmentState, UpdatedAt

NAME = "relay"


class RelayHost(hosts.Host):
    def states(self, keys: Collection[EnvironmentKey]) -> dict[EnvironmentKey, EnvironmentState]:
        configured = _configured(keys)
        announced = (environment.announced for environment in configured.values())
        own = {state.key: state for state in announced if state is not None}
        others = [key for key in keys if key not in configured]
        return own | super().states(others) if others else own

    def changed_since(self, moment: datetime) -> list[EnvironmentState]:
        changed = super().changed_since(moment)
        configured = _configured([state.key for state in changed])
        return [state for state in changed if state.key not in configured]

    def accept_posted(self, times: Mapping[EnvironmentKey, UpdatedAt]) -> list[EnvironmentState]:
        """Versions of configured environments are stored as well: a process that starts fetches until it has them."""
        configured = _configured(times)
        current = environments.current()
        if current is not None and configured:
            # First, because the store may be away.
            current.notify_threadsafe([(key, times[key]) for key in configured], "post")
        stored = posted_versions.current().store_newer(times)
        return [EnvironmentState(key, times[key], True) for key in stored if key not in configured]

    def newest(self, read: EnvironmentState | None, received: EnvironmentState) -> EnvironmentState | None:
        """The state that this process has announced, if the environment is configured."""
        return read if _configured([received.key]) else super().newest(read, received)


def register() -> None:
    """Make the host available as ``REALTIME_HOST=relay``."""
    hosts.HOSTS[NAME] = RelayHost


def _configured(keys: Collection[EnvironmentKey]) -> dict[EnvironmentKey, environments.Environment]:
    current = environments.current()
    if current is None:
        return {}
    by_key = current.by_client_key
    return {key: environment for key in keys if (environment := by_key.get(key)) is not None}
