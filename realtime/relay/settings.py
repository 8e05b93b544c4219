"""Django settings of the relay, read from its configuration and environment variables (docs/relay.md)."""

import os
import secrets
from pathlib import Path

from realtime.relay import configuration, logs
from realtime.serving import databases, environment, grip_url, variables

databases.check_django()

RELAY_CONFIGURATION = configuration.load()

SSE_AUTHENTICATION_TOKEN = os.environ.get("SSE_AUTHENTICATION_TOKEN", "")

# realtime/conf.py lists these with their defaults.
globals().update(environment.prefixed("REALTIME_"))
globals().update(variables.stream_settings())
globals().update(grip_url.settings())
if RELAY_CONFIGURATION.server.proxy_headers:
    globals().setdefault("REALTIME_TRUSTED_PROXIES", configuration.trusted_proxies())
REALTIME_HOST = "relay"

# Required by Django, and not used: there are no sessions, cookies or forms.
SECRET_KEY = secrets.token_urlsafe(50)
# No response depends on the Host header.
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = ["django_eventstream", "realtime"]
ROOT_URLCONF = "realtime.serving.urls"
ASGI_APPLICATION = "realtime.relay.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = True
USE_I18N = False

# Redis stores documents and posted versions, and is the bus. Without it, both are in the directory.
globals().update(variables.redis_settings())
RELAY_STATE_DIR = str(configuration.state_directory().resolve())
if variables.redis_variable() is not None:
    REALTIME_STORE = "redis"
    DATABASES = {"default": {"ENGINE": databases.NONE}}
else:
    REALTIME_STORE = "database"
    DATABASES = {"default": databases.sqlite(Path(RELAY_STATE_DIR) / configuration.DATABASE_FILE)}

LOGGING = logs.settings(RELAY_CONFIGURATION.logging)
logs.configure()
