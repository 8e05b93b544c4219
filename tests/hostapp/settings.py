import os
from pathlib import Path

import django

SECRET_KEY = "for a host project" + "x" * 40
ALLOWED_HOSTS = ["*"]
INSTALLED_APPS = ["django_eventstream", "channels", "realtime", "tests.hostapp"]
MIDDLEWARE: list[str] = []
ROOT_URLCONF = "tests.hostapp.urls"
ASGI_APPLICATION = "tests.hostapp.asgi.application"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(os.environ["VAR_DIR"]) / "host.sqlite3",
        # Django 5.0 does not support transaction_mode.
        "OPTIONS": {"timeout": 10} | ({"transaction_mode": "IMMEDIATE"} if django.VERSION >= (5, 1) else {}),
    }
}
USE_TZ = True
DEFAULT_AUTO_FIELD = "django.db.models.AutoField"

REALTIME_ENVIRONMENT_MODEL = "hostapp.Stage"
REALTIME_GATE_FIELD = "product__live"
REALTIME_WATCH = "tests.hostapp.watch.WATCHED"
REALTIME_DRAIN_SECONDS = 0
# No stream reaches its maximum duration on a slow machine.
REALTIME_STREAM_SECONDS = 3600
SSE_AUTHENTICATION_TOKEN = "publisher-t0ken"
