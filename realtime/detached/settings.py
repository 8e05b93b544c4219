"""Django's settings of the detached server. Values come from environment variables, see docs/plugging-in.md."""

import os
import secrets
from pathlib import Path

import django
from django.core.exceptions import ImproperlyConfigured

from realtime.serving import databases, environment, logs, redis_urls

if django.VERSION < (5, 1):
    # SQLite's modes of transactions, PostgreSQL's pool.
    raise ImproperlyConfigured(f"This server needs Django 5.1 or newer, not {django.__version__}.")

SSE_AUTHENTICATION_TOKEN = os.environ.get("SSE_AUTHENTICATION_TOKEN", "")
if not SSE_AUTHENTICATION_TOKEN.strip(" ,"):
    raise ImproperlyConfigured("SSE_AUTHENTICATION_TOKEN must be set, here and in Flagsmith: a secret that both know.")

# realtime/conf.py lists these with their defaults.
globals().update(environment.prefixed("REALTIME_"))
REALTIME_HOST = "detached"

# Nothing is signed with it: there are no sessions, no cookies and no forms.
SECRET_KEY = secrets.token_urlsafe(50)
# Nothing that is answered depends on a request's Host.
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

# Events go from process to process by Redis (django-eventstream's setting), otherwise by PostgreSQL.
if redis := redis_urls.from_environment():
    EVENTSTREAM_REDIS = redis

LOGGING = logs.settings()
logs.configure()
