"""Django's settings of the detached server. Values come from environment variables, see docs/plugging-in.md."""

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from realtime.serving import databases, logs, redis_urls

SSE_AUTHENTICATION_TOKEN = os.environ.get("SSE_AUTHENTICATION_TOKEN", "")
if not SSE_AUTHENTICATION_TOKEN.strip(" ,"):
    raise ImproperlyConfigured("SSE_AUTHENTICATION_TOKEN must be set, here and in Flagsmith: a secret that both know.")

# realtime/conf.py lists these with their defaults.
globals().update({name: text for name, text in os.environ.items() if name.startswith("REALTIME_")})
REALTIME_HOST = "detached"

# Nothing is signed with it: there are no sessions, no cookies and no forms.
SECRET_KEY = secrets.token_urlsafe(50)
# Nothing that is answered depends on a request's Host.
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = ["django_eventstream", "realtime"]
ROOT_URLCONF = "realtime.serving.urls"
ASGI_APPLICATION = "realtime.serving.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = True
USE_I18N = False

DATABASES = {
    "default": databases.from_url(os.environ["DATABASE_URL"], int(os.environ.get("DATABASE_POOL_SIZE", "5")))
    if os.environ.get("DATABASE_URL")
    else databases.sqlite(Path(os.environ.get("VAR_DIR", ".")).resolve() / "flagsmith-realtime.sqlite3")
}

# Events go from process to process by Redis (django-eventstream's setting), otherwise by PostgreSQL.
if os.environ.get("REDIS_URL"):
    EVENTSTREAM_REDIS = redis_urls.arguments(os.environ["REDIS_URL"])

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "structured": {
            "()": "structlog.stdlib.ProcessorFormatter",
            "processors": logs.PROCESSORS,
            "foreign_pre_chain": logs.FOREIGN_PRE_CHAIN,
        }
    },
    "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "structured"}},
    "root": {"handlers": ["stderr"], "level": os.environ.get("LOG_LEVEL", "INFO")},
    # It logs a line for each listener: one for each environment that somebody streams.
    "loggers": {"django_eventstream": {"level": "WARNING"}},
}
logs.configure()
