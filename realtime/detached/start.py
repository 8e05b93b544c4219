"""Start of the drop-in server: log lines about its configuration, and a check of Redis."""

import os

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

from realtime import redis_clients
from realtime.conf import conf
from realtime.detached import variables
from realtime.posted_versions import redis as redis_store
from realtime.serving.databases import SQLITE

logger = structlog.get_logger(__name__)

# Set by Kubernetes in each container.
KUBERNETES = "KUBERNETES_SERVICE_HOST"


def log_configuration() -> None:
    """Log the store, each variable without effect, and a file that replicas do not share."""
    for name, reason in variables.notices().items():
        logger.warning("variable_has_no_effect", variable=name, reason=reason)
    has_redis = hasattr(settings, redis_clients.SETTING)
    if conf.STORE == "redis":
        logger.info("store_is_redis", cluster=conf.REDIS_CLUSTER, sentinels=len(conf.REDIS_SENTINELS))
    elif settings.DATABASES[DEFAULT_DB_ALIAS]["ENGINE"] != SQLITE:
        logger.info("store_is_postgresql", bus="redis" if has_redis else "postgres")
    else:
        file = settings.DATABASES[DEFAULT_DB_ALIAS]["NAME"]
        logger.info("store_is_sqlite", file=file, remedy="For several replicas set REDIS_HOST or DATABASE_URL.")
        if has_redis or os.environ.get(KUBERNETES):
            logger.warning(
                "store_is_not_shared",
                problem="Each replica has its own file, so a new stream may get an old version, or none.",
                remedy="Remove DATABASE_URL and REALTIME_STORE." if has_redis else "Set REDIS_HOST.",
            )


def problem_of_redis() -> str | None:
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
        if problem := variables.explanation(error):
            return problem
        # A server without TLS does not answer a client with it.
        where = "REDIS_URL" if variables.is_set("REDIS_URL") else "REDIS_HOST, REDIS_PORT and REDIS_USE_SSL"
        logger.warning("redis_unavailable", error=str(error), remedy=f"Check {where}. Redis is tried again.")
    return None
