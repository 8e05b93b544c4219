"""The one door through which events leave: into this process directly, and to the bus for all others."""

from collections.abc import Iterable

import structlog
from django.db import DEFAULT_DB_ALIAS
from django_eventstream import eventstream, send_event

from realtime import bus
from realtime.bus import local
from realtime.events import CHANNEL_PREFIX, EVENT, channel, event
from realtime.monitoring import metrics
from realtime.types import EnvironmentState

__all__ = ["CHANNEL_PREFIX", "EVENT", "channel", "enlist", "publish"]

logger = structlog.get_logger(__name__)


def enlist(states: Iterable[EnvironmentState], using: str = DEFAULT_DB_ALIAS) -> None:
    """Let the bus have its part in the transaction that made these states, on the database of this alias."""
    if told := [state for state in states if state.live]:
        bus.current().write(told, using)


def publish(states: Iterable[EnvironmentState], *, enlisted: bool = False) -> None:
    """Send each state to every process, unless its gate is closed.

    ``enlisted``: the transaction that has just committed has told the bus. Never raises: the change is committed, and a
    reconcile brings what is lost here.
    """
    told = [state for state in states if state.live]
    # Streams of this process hear of it whatever becomes of the bus.
    for state in told:
        try:
            _deliver(state)
        except Exception:
            _complain(state)
    try:
        if not enlisted:
            enlist(told)
        if told:
            bus.current().send(told)
    except Exception:
        for state in told:
            _complain(state)
    else:
        metrics.published.add(len(told))


def _deliver(state: EnvironmentState) -> None:
    said = event(state)
    if eventstream.redis_client is None:
        send_event(said.channel, said.type, said.data, json_encode=False)
    else:
        # With Redis, django-eventstream's own would wait for it, and deliver nothing here.
        local.deliver(said)


def _complain(state: EnvironmentState) -> None:
    metrics.publish_failed.add()
    logger.exception("publish_failed", environment=state.key, updated_at=state.updated_at.isoformat())
