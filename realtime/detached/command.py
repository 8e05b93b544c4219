"""``flagsmith-realtime``, or ``python -m realtime.detached``: the drop-in real-time server for a Flagsmith.

flagsmith-realtime serve [--host H] [--port P] [--workers N]

Other Django commands work as well (``check``, ``migrate``).
"""

import os
import sys
from contextlib import suppress

import django
from django.apps import apps
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.db import Error

from realtime.serving import command_line

NAME = "flagsmith-realtime"

# If several processes start at once, all but one fail to create a table. Each attempt continues after the existing
# tables: those of up to three migrations per app, and Django's own.
RETRIES = 5


def main() -> None:
    """Run the command line. ``serve`` creates missing tables first."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "realtime.detached.settings")
    with command_line.one_line_failures(NAME, sys.argv):
        try:
            django.setup()
        except ImproperlyConfigured as error:
            sys.exit(f"{NAME}: {error}")
        if sys.argv[1:2] == ["serve"] and not {"-h", "--help"} & set(sys.argv):
            if problem := command_line.problem_of_database():
                sys.exit(f"{NAME}: {problem}")
            _migrate()
    command_line.execute(NAME, sys.argv)


def _migrate() -> None:
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
