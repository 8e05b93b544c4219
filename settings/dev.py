"""Development settings: a secret key created at first use, and any host name."""

import fcntl
import os
import secrets
import sys
from pathlib import Path

from settings.base import *
from settings.base import ALLOWED_HOSTS, INSTALLED_APPS, VAR_DIR


def installation_key(path: Path) -> str:
    """The secret key of this installation, created once in a file that only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with os.fdopen(os.open(path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
        # Several processes may start for the first time at once: the first one creates the key.
        fcntl.flock(file, fcntl.LOCK_EX)
        key = file.read().strip()
        if not key:
            key = secrets.token_urlsafe(50)
            file.write(key)
        return key


SECRET_KEY = os.environ.get("SECRET_KEY") or installation_key(VAR_DIR / "secret_key")
ALLOWED_HOSTS = ALLOWED_HOSTS or ["*"]

# Daphne's runserver serves streams, Django's does not. Other commands start faster without daphne (1.5 s instead of 1.9
# s of CPU time for the import of settings.asgi and settings.urls, median of three).
if sys.argv[1:2] == ["runserver"]:
    INSTALLED_APPS = ["daphne", *INSTALLED_APPS]
