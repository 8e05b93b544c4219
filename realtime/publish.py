"""The one door through which events leave: nothing else calls django-eventstream's ``send_event``."""

from collections.abc import Iterable

import structlog
from django_eventstream import send_event

from realtime import sse
from realtime.types import EnvironmentKey, EnvironmentState

logger = structlog.get_logger(__name__)

EVENT = "environment_updated"

CHANNEL_PREFIX = "realtime-environment-"


def channel(key: EnvironmentKey) -> str:
    """The channel of an environment's events."""
    return CHANNEL_PREFIX + key


def publish(states: Iterable[EnvironmentState]) -> None:
    """Send each state to every process, unless its gate is closed.

    Never raises: the change is committed, and a reconcile brings what is lost here.
    """
    for state in states:
        if not state.live:
            continue
        try:
            send_event(channel(state.key), EVENT, sse.data(state.updated_at), json_encode=False)
        except Exception:
            logger.exception("publish_failed", environment=state.key, updated_at=state.updated_at.isoformat())
