"""Signal receivers that run in Flagsmith's requests and tasks."""

from collections.abc import Callable
from functools import wraps
from typing import Any

import structlog

logger = structlog.get_logger(__name__)


def never_fails(receiver: Callable[..., None]) -> Callable[..., None]:
    """A receiver whose exceptions are logged: what Flagsmith does goes on."""

    @wraps(receiver)
    def receive(*args: Any, **kwargs: Any) -> None:
        try:
            receiver(*args, **kwargs)
        except Exception:
            logger.exception("receiver_failed", receiver=receiver.__qualname__)

    return receive
