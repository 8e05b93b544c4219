"""The relay's host: environments whose documents it holds, and those of a drop-in server.

An environment of the configuration has the newest version whose document all processes serve, so no event precedes
its document. A version that is posted for it only starts a fetch. Other keys are those of a drop-in server: the
posted version is stored and sent.
"""

from collections.abc import Collection, Mapping

from realtime import hosts
from realtime.relay import environments
from realtime.types import EnvironmentKey, EnvironmentState, UpdatedAt


class RelayHost(hosts.Host):
    lists_environments = True

    def accept_posted(self, times: Mapping[EnvironmentKey, UpdatedAt]) -> list[EnvironmentState]:
        """Versions of configured environments are stored as well: a process that starts fetches until it has them."""
        configured = self._own(times)
        current = environments.current()
        if current is not None and configured:
            # First, because the store may be away.
            current.notify_threadsafe([(key, times[key]) for key in configured], "post")
        stored = self.posted.store_newer(times)
        return [EnvironmentState(key, times[key], True) for key in stored if key not in configured]

    def _own(self, keys: Collection[EnvironmentKey]) -> dict[EnvironmentKey, EnvironmentState | None]:
        """The configured environments, with the states that this process has announced."""
        current = environments.current()
        configured = current.by_client_key if current is not None else {}
        return {key: environment.announced for key in keys if (environment := configured.get(key)) is not None}

    def newest(self, read: EnvironmentState | None, received: EnvironmentState) -> EnvironmentState | None:
        """The state that this process has announced, if the environment is configured."""
        return read if self._own([received.key]) else super().newest(read, received)
