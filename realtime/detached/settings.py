"""Django settings of the drop-in server, read from environment variables (docs/drop-in.md)."""

import os
import secrets
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from realtime.serving import databases, environment, grip_url, logs, variables

STORES = ("database", "redis")

databases.check_django()

SSE_AUTHENTICATION_TOKEN = os.environ.get("SSE_AUTHENTICATION_TOKEN", "")
if not SSE_AUTHENTICATION_TOKEN.strip(" ,"):
    raise ImproperlyConfigured("SSE_AUTHENTICATION_TOKEN must be set to the same secret here and in Flagsmith.")

# realtime/conf.py lists these with their defaults.
globals().update(environment.prefixed("REALTIME_"))
globals().update(variables.stream_settings())
globals().update(grip_url.settings())
REALTIME_HOST = "detached"

# Required by Django, and not used: there are no sessions, cookies or forms.
SECRET_KEY = secrets.token_urlsafe(50)
# No response depends on the Host header.
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = ["django_eventstream", "realtime"]
if environment.flag("REALTIME_INSPECTION", False):
    INSTALLED_APPS.append("realtime.inspector")
ROOT_URLCONF = "realtime.serving.urls"
ASGI_APPLICATION = "realtime.serving.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = True
USE_I18N = False

# The bus between processes: Redis (django-eventstream's setting) if it is configured, otherwise PostgreSQL.
globals().update(variables.redis_settings())

# The store of posted versions: the database if one is named, otherwise Redis. Without both, a SQLite file.
_URL = os.environ.get("DATABASE_URL", "").strip()
_FILE = Path(os.environ.get("VAR_DIR", ".")).resolve() / "flagsmith-realtime.sqlite3"
_HAS_REDIS = variables.redis_variable() is not None
REALTIME_STORE = os.environ.get("REALTIME_STORE", "").strip() or ("redis" if _HAS_REDIS and not _URL else "database")
if REALTIME_STORE not in STORES:
    raise ImproperlyConfigured(f"REALTIME_STORE must be one of {', '.join(STORES)}, not {REALTIME_STORE!r}.")
if REALTIME_STORE == "redis" and not _HAS_REDIS:
    raise ImproperlyConfigured("REALTIME_STORE is redis, and no Redis is configured: set REDIS_HOST or REDIS_URL.")
if REALTIME_STORE == "redis" and not _URL:
    if "realtime.inspector" in INSTALLED_APPS:
        raise ImproperlyConfigured("REALTIME_INSPECTION needs a database: set DATABASE_URL too.")
    DATABASES = {"default": {"ENGINE": databases.NONE}}
else:
    DATABASES = {"default": databases.from_environment(_FILE, pool_size=5)}

LOGGING = logs.settings()
logs.configure()
