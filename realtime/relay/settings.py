"""Django settings of the relay, read from its configuration and environment variables (docs/relay.md)."""

from realtime.relay import configuration, logs
from realtime.serving import databases, variables
from realtime.serving.settings import *  # noqa: F403

if configuration.current().server.proxy_headers:
    globals().setdefault("REALTIME_TRUSTED_PROXIES", configuration.trusted_proxies())
REALTIME_HOST = "relay"

ASGI_APPLICATION = "realtime.relay.asgi.application"

# Redis stores documents and posted versions, and is the bus. Without it, both are in the directory.
if variables.redis_variable() is not None:
    REALTIME_STORE = "redis"
    DATABASES = {"default": {"ENGINE": databases.NONE}}
else:
    REALTIME_STORE = "database"
    DATABASES = {"default": databases.sqlite(configuration.state_directory().resolve() / configuration.DATABASE_FILE)}

LOGGING = logs.settings(configuration.current().logging)
logs.configure()
