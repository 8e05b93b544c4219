"""A check of the configured Redis, when a server starts."""

import structlog
from django.conf import settings

from realtime import redis_clients
from realtime.conf import conf
from realtime.posted_versions import redis as redis_store
from realtime.serving import variables

logger = structlog.get_logger(__name__)


def problem() -> str | None:
    """The reason why Redis refuses this server, with the variable to correct; None if it can be used, or is away.

    The server starts without Redis, and is not ready until it has read it.
    """
    if not hasattr(settings, redis_clients.SETTING):
        return None
    try:
        client = redis_clients.connect(redis_store.TIMEOUTS)
        try:
            client.publish(redis_store.CHECK_CHANNEL, "")
            if conf.STORE == "redis":
                client.eval(redis_store.CHANGED, 2, redis_store.VERSIONS, redis_store.RECEIVED, 0)
        finally:
            client.close()
    except redis_clients.errors() as error:
        if explanation := variables.explanation(error):
            return explanation
        # A server without TLS does not answer a client with it.
        where = "REDIS_URL" if variables.is_set("REDIS_URL") else "REDIS_HOST, REDIS_PORT and REDIS_USE_SSL"
        logger.warning("redis_unavailable", error=str(error), remedy=f"Check {where}. Redis is tried again.")
    return None
