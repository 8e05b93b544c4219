"""``flagsmith-realtime``, or ``python -m realtime.detached``: the drop-in real-time server of a Flagsmith elsewhere.

flagsmith-realtime serve [--host H] [--port P] [--workers N]

Any other command of Django's works too (``check``, ``migrate``).
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

# Of processes that start at the same moment all but one fail to make the same table. An app has three migrations, and
# Django has a table of its own; at the next attempt the process begins behind those that are there.
RETRIES = 5


def main() -> None:
    """Serve, or what else the command line says; the table is made when it is not there."""
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
    """Make our own tables. django-eventstream's are for a kind of storage that nobody asked for."""
    for app in ("realtime", "realtime_inspector"):
        if app in apps.app_configs:
            _migrate_app(app)


def _migrate_app(label: str) -> None:
    for _ in range(RETRIES):
        with suppress(Error):
            call_command("migrate", label, verbosity=0)
            return
    call_command("migrate", label, verbosity=0)
