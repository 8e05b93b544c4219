"""``settings.dev``, with a longer timeout for a locked SQLite database (``LOCK_PATIENCE``)."""

from settings.dev import *  # noqa: F403
from settings.dev import DATABASES
from tests.races import LOCK_PATIENCE

if DATABASES["default"]["ENGINE"] == "django.db.backends.sqlite3":
    DATABASES["default"]["OPTIONS"]["timeout"] = LOCK_PATIENCE
