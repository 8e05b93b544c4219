"""Creates the tables of a server without ``manage.py``, at its start."""

from contextlib import suppress

from django.apps import apps
from django.core.management import call_command
from django.db import Error

# If several processes start at once, all but one fail to create a table. Each attempt continues after the existing
# tables: those of up to three migrations per app, and Django's own.
RETRIES = 5


def create() -> None:
    """Create our own tables, but not django-eventstream's, which only its event storage uses."""
    for app in ("realtime", "realtime_inspector"):
        if app in apps.app_configs:
            _migrate_app(app)


def _migrate_app(label: str) -> None:
    for _ in range(RETRIES):
        with suppress(Error):
            call_command("migrate", label, verbosity=0)
            return
    call_command("migrate", label, verbosity=0)
