"""Development and the first try on one machine: a key made on first use, every local host name."""

import fcntl
import os
import secrets
import sys
from pathlib import Path

from settings.base import *
from settings.base import ALLOWED_HOSTS, INSTALLED_APPS, VAR_DIR


def installation_key(path: Path) -> str:
    """The secret key of this installation, made once and kept readable for its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        # Several processes may start for the first time in one moment: whoever comes first makes it.
        fcntl.flock(file, fcntl.LOCK_EX)
        key = file.read().strip()
        if not key:
            key = secrets.token_urlsafe(50)
            file.write(key)
        return key


SECRET_KEY = os.environ.get("SECRET_KEY") or installation_key(VAR_DIR / "secret_key")
ALLOWED_HOSTS = ALLOWED_HOSTS or ["*"]

# Daphne's runserver has streams, Django's has none. Every other command starts sooner without daphne, by a sixth of the
# processor's time (1.5 s and 1.9 s to import settings.asgi and settings.urls, each the middle of three).
if sys.argv[1:2] == ["runserver"]:
    INSTALLED_APPS = ["daphne", *INSTALLED_APPS]
