"""Tests: a quick password hasher, a key that means nothing, and a database for each process that runs some."""

import os
import tempfile
from pathlib import Path

from settings.base import *
from settings.base import DATABASES

SECRET_KEY = "for tests only: " + "x" * 40
ALLOWED_HOSTS = ["*"]
LOGIN_THROTTLE_RATE = CODE_THROTTLE_RATE = SIGNUP_THROTTLE_RATE = PASSWORD_RESET_THROTTLE_RATE = None
CLIENT_KEY_STORAGE_RATE = None
LOGIN_FAILURES_RATE = PASSWORD_RESET_MAIL_RATE = INVITE_THROTTLE_RATE = None
# Tests that want one run one.
RUN_SCHEDULER = False
DELIVER_WEBHOOKS = False
WEBHOOK_TEST_THROTTLE_RATE = None
# Tests' own receivers.
WEBHOOKS_ALLOWED_NETWORKS = "127.0.0.0/8"
WEBHOOKS_TIMEOUT_SECONDS = 20
# What is heard in a test was said in it. Those of the bus choose one.
REALTIME_BUS = "memory"
ENABLE_API_USAGE_TRACKING = False
REALTIME_INSPECTION = False
USAGE_THROTTLE_RATE = None
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file, since threads share it; its own, so that two runs of the tests do not meet in it.
    DATABASES["default"]["TEST"] = {"NAME": str(Path(tempfile.gettempdir()) / f"test-{os.getpid()}.sqlite3")}
    # Seconds that a writer waits for others, of which a slow machine takes many for what is quick elsewhere.
    DATABASES["default"]["OPTIONS"]["timeout"] = 60
    # What a power failure leaves of it does not matter.
    DATABASES["default"]["OPTIONS"]["init_command"] += "PRAGMA synchronous=OFF;"
else:
    # The test database cannot be dropped while a pool holds connections to it. Servers that tests start have pools.
    DATABASES["default"]["OPTIONS"].pop("pool")
