"""Development and the first try on one machine: a key made on first use, every local host name."""

import os
import secrets
from pathlib import Path

from settings.base import *
from settings.base import ALLOWED_HOSTS, VAR_DIR


def installation_key(path: Path) -> str:
    """The secret key of this installation, made once and kept readable for its owner alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_urlsafe(50))
    return path.read_text().strip()


SECRET_KEY = os.environ.get("SECRET_KEY") or installation_key(VAR_DIR / "secret_key")
ALLOWED_HOSTS = ALLOWED_HOSTS or ["*"]
