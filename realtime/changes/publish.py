"""Publishes events: directly to this process's streams, and through the bus to other processes."""

from collections.abc import Iterable, Sequence

import structlog
from django.db import DEFAULT_DB_ALIAS

from realtime import bus
from realtime.bus import eventstream
from realtime.changes import grip
from realtime.conf import conf
from realtime.monitoring import metrics
from realtime.types import EnvironmentState

logger = structlog.get_logger(__name__)


def enqueue(states: Iterable[EnvironmentState], using: str = DEFAULT_DB_ALIAS, *, include_closed: bool = False) -> None:
    """Let the bus write its messages in the transaction that made these states, on the database ``using``."""
    if states := [state for state in states if state.streaming_enabled or include_closed]:
        bus.current().write(states, using)


def publish(
    states: Iterable[EnvironmentState], *, already_enqueued: bool = False, include_closed: bool = False
) -> None:
    """Send states to all processes. SDKs get an event for each state whose gate is open.

    ``already_enqueued``: the transaction that made the states has called ``enqueue``. ``include_closed``: also notify
    other processes of states with a closed gate, which the reconcile would find a second later. Pass True only if the
    gate may have changed: projects without real time would otherwise cause a message for each change.

    It never raises: the change is committed, and the reconcile finds what could not be published.
    """
    states = list(states)
    publish_here(states)
    publish_to_grip(states)
    publish_to_processes(states, already_enqueued=already_enqueued, include_closed=include_closed)


def publish_here(states: Iterable[EnvironmentState]) -> None:
    """Send states to the streams of this process, which do not depend on the bus. It never raises."""
    for state in states:
        try:
            eventstream.publish_here(state)
        except Exception:
            log_failure([state])


def publish_to_grip(states: Sequence[EnvironmentState]) -> None:
    """Send states to the GRIP proxy, if one is configured. Of all processes, only one does. It never raises."""
    if conf.USES_GRIP:
        grip.publish(states)


def publish_to_processes(
    states: Sequence[EnvironmentState], *, already_enqueued: bool = False, include_closed: bool = False
) -> None:
    """Send states to the other processes. Of all processes, only one does. It never raises."""
    enabled = [state for state in states if state.streaming_enabled]
    messages = states if include_closed else enabled
    try:
        if not already_enqueued:
            enqueue(states, include_closed=include_closed)
        if messages:
            bus.current().send(messages)
    except Exception:
        log_failure(messages)
    else:
        metrics.published.add(len(enabled))


def log_failure(states: Iterable[EnvironmentState]) -> None:
    """Log and count states that could not be published. Must be called in an ``except`` clause."""
    for state in states:
        metrics.publish_failed.add()
        logger.exception("publish_failed", environment=state.key, updated_at=state.updated_at.isoformat())
