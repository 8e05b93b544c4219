"""Where the demo's password is kept: in the database only its hash is."""

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
        place = [str(database.get(part) or "") for part in ("HOST", "PORT", "NAME")]
        name = "|".join([f"django.db.backends.{connection.vendor}", *place])
        self.path = Path(settings.VAR_DIR) / f"demo_password-{hashlib.sha256(name.encode()).hexdigest()[:12]}"

    def read(self) -> str | None:
        """The password, or None where there is no file."""
        try:
            return self.path.read_text().strip() or None
        except FileNotFoundError:
            return None

    def write(self, password: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.unlink(missing_ok=True)
        with os.fdopen(os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(password + "\n")
