"""Test settings: a fast password hasher, a public secret key, and a database per test process."""

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
# Tests start these themselves where they need them.
RUN_SCHEDULER = False
DELIVER_WEBHOOKS = False
WEBHOOK_TEST_THROTTLE_RATE = None
# For the tests' own webhook receivers.
WEBHOOKS_ALLOWED_NETWORKS = "127.0.0.0/8"
WEBHOOKS_TIMEOUT_SECONDS = 20
# Isolates tests from each other. Tests of the buses select one.
REALTIME_BUS = "memory"
ENABLE_API_USAGE_TRACKING = False
REALTIME_INSPECTION = False
USAGE_THROTTLE_RATE = None
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    # A file, because threads share it; one per process, because test runs may be concurrent.
    DATABASES["default"]["TEST"] = {"NAME": str(Path(tempfile.gettempdir()) / f"test-{os.getpid()}.sqlite3")}
    # Writers wait longer for each other on a slow machine.
    DATABASES["default"]["OPTIONS"]["timeout"] = 60
    # The database need not survive a power failure.
    DATABASES["default"]["OPTIONS"]["init_command"] += "PRAGMA synchronous=OFF;"
else:
    # The test database cannot be dropped while a pool has connections to it. Servers that tests start do have pools.
    DATABASES["default"]["OPTIONS"].pop("pool")
