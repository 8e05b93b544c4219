"""Django settings that the drop-in server and the relay have in common, read from environment variables."""

import os
import secrets

from realtime.serving import databases, environment, grip_url, variables

databases.check_django()

SSE_AUTHENTICATION_TOKEN = os.environ.get("SSE_AUTHENTICATION_TOKEN", "")

# realtime/conf.py lists these with their defaults.
globals().update(environment.prefixed("REALTIME_"))
globals().update(variables.stream_settings())
globals().update(grip_url.settings())
# The bus between processes: Redis (django-eventstream's setting) if it is configured, otherwise PostgreSQL.
globals().update(variables.redis_settings())

# Required by Django, and not used: there are no sessions, cookies or forms.
SECRET_KEY = secrets.token_urlsafe(50)
# No response depends on the Host header.
ALLOWED_HOSTS = ["*"]

INSTALLED_APPS = ["django_eventstream", "realtime"]
ROOT_URLCONF = "realtime.serving.urls"
ASGI_APPLICATION = "realtime.serving.asgi.application"
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"
USE_TZ = True
USE_I18N = False
