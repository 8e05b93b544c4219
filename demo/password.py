"""The file that holds the demo user's password, because the database only has its hash."""

import hashlib
import os
import secrets
from pathlib import Path

from django.conf import settings
from django.db import connection


def new_password() -> str:
    """A password of 96 random bits."""
    return secrets.token_urlsafe(12)


class PasswordFile:
    """A file below ``VAR_DIR`` that only its owner can read, one for each database."""

    def __init__(self) -> None:
        database = connection.settings_dict
        parts = [str(database.get(name) or "") for name in ("HOST", "PORT", "NAME")]
        identity = "|".join([f"django.db.backends.{connection.vendor}", *parts])
        self.path = Path(settings.VAR_DIR) / f"demo_password-{hashlib.sha256(identity.encode()).hexdigest()[:12]}"

    def read(self) -> str | None:
        """The password; None if there is no file."""
        try:
            return self.path.read_text().strip() or None
        except FileNotFoundError:
            return None

    def write(self, password: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(password + "\n")
