"""Removes environments from Flagsmith's cache when their versions have risen.

If each process has a cache of its own, a process that serves requests listens to the bus for the changes of the others.
"""

import threading
from typing import Any

from django.core.signals import request_started

from realtime import bus
from realtime.bus import eventstream
from realtime.changes import versions
from realtime.flagsmith import caches, raising
from realtime.flagsmith.receivers import never_fails
from realtime.flagsmith.visibility import StaleEnvironments
from realtime.types import EnvironmentKey, EnvironmentState


def connect() -> None:
    """Remove environments from the cache of this process when any process has raised their versions."""
    versions.committed.connect(versions_committed, dispatch_uid="realtime:versions_committed")
    if caches.is_per_process():
        request_started.connect(CacheListener().start, weak=False, dispatch_uid="realtime:cache_listener")


def versions_committed(states: list[EnvironmentState], **kwargs: Any) -> None:
    keys = tuple(state.key for state in states)
    caches.forget(keys)
    raising.current().put([StaleEnvironments(keys)])


class CacheListener:
    """Listens to the bus in a process that serves requests, from its first request on."""

    def __init__(self) -> None:
        self._is_new = threading.Lock()

    @never_fails
    def start(self, environ: Any = None, **kwargs: Any) -> None:
        # A test client names no server.
        if environ and "SERVER_SOFTWARE" in environ and self._is_new.acquire(blocking=False):
            eventstream.environment_received.connect(self.received, dispatch_uid="realtime:environment_received")
            bus.attach(self)

    def reconcile_now(self) -> None:
        """Remove everything from the cache: the bus may have missed events. Called by the bus when it connects."""
        caches.environment_cache().clear()

    def received(self, key: EnvironmentKey, **kwargs: Any) -> None:
        caches.environment_cache().delete(key)
        raising.current().put([StaleEnvironments((key,))])
