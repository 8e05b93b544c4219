"""Django settings of the drop-in server, read from environment variables (docs/drop-in.md)."""

import os
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured

from realtime.serving import databases, environment, logs, variables
from realtime.serving.settings import *  # noqa: F403
from realtime.serving.settings import INSTALLED_APPS, SSE_AUTHENTICATION_TOKEN

STORES = ("database", "redis")

if not SSE_AUTHENTICATION_TOKEN.strip(" ,"):
    raise ImproperlyConfigured("SSE_AUTHENTICATION_TOKEN must be set to the same secret here and in Flagsmith.")

REALTIME_HOST = "detached"

if environment.flag("REALTIME_INSPECTION", False):
    INSTALLED_APPS = [*INSTALLED_APPS, "realtime.inspector"]

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
