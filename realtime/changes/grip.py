"""Publishes events to a GRIP proxy (Pushpin, Fastly Fanout), which holds streams in place of this server.

The process of the commit publishes, in a thread of its own, so the proxy neither delays nor fails a change. No
reconcile finds an event that the proxy has missed, because no process has its streams. So a failed event is tried again
until the proxy accepts it, or this process exits.
"""

from collections.abc import Iterable
from operator import attrgetter

from realtime import hosts
from realtime.bus import eventstream
from realtime.bus.publisher import Publisher
from realtime.per_process import PerProcess
from realtime.types import EnvironmentState


def _send(announced: EnvironmentState) -> None:
    """Publish the state, or a newer one. It is read, because the gate may have closed."""
    state = hosts.current().states([announced.key]).get(announced.key)
    if state is None or not state.streaming_enabled or not announced.streaming_enabled:
        return
    if hosts.current().serves_committed_versions:
        # A database replica may lag.
        state = max(state, announced, key=attrgetter("updated_at"))
    eventstream.publish_to_grip(state)


publisher = PerProcess(lambda: Publisher("grip", _send))
"""This process's publisher."""


def publish(states: Iterable[EnvironmentState]) -> None:
    """Publish states, those with a closed gate too: they replace events that wait. It neither blocks nor raises."""
    publisher().put(states)
