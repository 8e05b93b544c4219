"""Start of the drop-in server: log lines about its configuration."""

import os

import structlog
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS

from realtime import redis_clients
from realtime.conf import conf
from realtime.serving import variables
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
