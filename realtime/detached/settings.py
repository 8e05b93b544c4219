"""Django settings of the drop-in server, read from environment variables (docs/plugging-in.md)."""

import os
import secrets
from pathlib import Path

import django
from django.core.exceptions import ImproperlyConfigured

from realtime.serving import databases, environment, logs, redis_urls

if django.VERSION < (5, 1):
    # For SQLite's transaction_mode and PostgreSQL's pool.
    raise ImproperlyConfigured(f"This server needs Django 5.1 or newer, not {django.__version__}.")

SSE_AUTHENTICATION_TOKEN = os.environ.get("SSE_AUTHENTICATION_TOKEN", "")
if not SSE_AUTHENTICATION_TOKEN.strip(" ,"):
    raise ImproperlyConfigured("SSE_AUTHENTICATION_TOKEN must be set to the same secret here and in Flagsmith.")

# realtime/conf.py lists these with their defaults.
globals().update(environment.prefixed("REALTIME_"))
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

_FILE = Path(os.environ.get("VAR_DIR", ".")).resolve() / "flagsmith-realtime.sqlite3"
DATABASES = {"default": databases.from_environment(_FILE, pool_size=5)}

# The bus between processes: Redis (django-eventstream's setting) if it is configured, otherwise PostgreSQL.
if redis := redis_urls.from_environment():
    EVENTSTREAM_REDIS = redis

LOGGING = logs.settings()
logs.configure()
