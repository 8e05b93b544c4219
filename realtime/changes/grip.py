"""Publishes events to a GRIP proxy (Pushpin, Fastly Fanout), which holds streams in place of this server.

The process of the commit publishes, in a thread of its own, so the proxy neither delays nor fails a change. No
reconcile finds an event that the proxy has missed, because no process has its streams. So a failed event is tried again
until the proxy accepts it, or this process exits.
"""

import os
from collections.abc import Iterable
from operator import attrgetter

from django.db import connections

from realtime import hosts
from realtime.bus import eventstream
from realtime.bus.publisher import MAX_PENDING, Publisher
from realtime.types import EnvironmentKey, EnvironmentState


class GripPublisher:
    """Publishes the newest state of each environment. All that failed are tried again with each further attempt."""

    def __init__(self) -> None:
        self.publisher = Publisher("grip", self._send)
        self._unpublished: dict[EnvironmentKey, EnvironmentState] = {}
        self._latest: EnvironmentState | None = None

    def _send(self, announced: EnvironmentState) -> None:
        # The publisher's own retry has the same object, which may be published by now.
        if announced is not self._latest:
            self._latest = self._unpublished[announced.key] = announced
        if len(self._unpublished) > MAX_PENDING:
            del self._unpublished[next(iter(self._unpublished))]
        try:
            self._send_all()
        finally:
            connections.close_all()

    def _send_all(self) -> None:
        """Publish the unpublished states, or newer ones, until one fails. They are read: the gate may have closed."""
        read = hosts.current().states(list(self._unpublished))
        for key in list(self._unpublished):
            announced, state = self._unpublished.pop(key), read.get(key)
            if state is None or not state.streaming_enabled or not announced.streaming_enabled:
                continue
            try:
                if hosts.current().serves_committed_versions:
                    # A database replica may lag.
                    state = max(state, announced, key=attrgetter("updated_at"))
                eventstream.publish_to_grip(state)
            except Exception:
                # Behind the others, in case the proxy rejects only this one.
                self._unpublished[key] = announced
                raise


_current: GripPublisher


def publish(states: Iterable[EnvironmentState]) -> None:
    """Publish states, those with a closed gate too: they replace events that wait. It neither blocks nor raises."""
    _current.publisher.put(states)


def _renew() -> None:
    """Make the publisher of this process. A forked child needs its own, because threads do not survive a fork."""
    global _current
    _current = GripPublisher()


_renew()
os.register_at_fork(after_in_child=_renew)
