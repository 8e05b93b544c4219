"""``flagsmith-realtime``, or ``python -m realtime.detached``: the drop-in real-time server of a Flagsmith elsewhere.

flagsmith-realtime serve [--host H] [--port P] [--workers N]

Any other command of Django's works too (``check``, ``migrate``).
"""

import os
import sys
from contextlib import suppress

import django
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command, execute_from_command_line
from django.db import Error

# Processes that start at the same moment make the same table; all but one fail, and find it there the next time.
RETRIES = 2


def main() -> None:
    """Serve, or what else the command line says; the table is made when it is not there."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "realtime.detached.settings")
    try:
        django.setup()
        if sys.argv[1:2] == ["serve"] and not {"-h", "--help"} & set(sys.argv):
            _migrate()
    except ImproperlyConfigured as error:
        sys.exit(f"flagsmith-realtime: {error}")
    except Error as error:
        sys.exit(f"flagsmith-realtime: the database does not answer: {error}")
    execute_from_command_line(sys.argv)


def _migrate() -> None:
    """Make this app's own table. django-eventstream's are for a kind of storage that nobody asked for."""
    for _ in range(RETRIES):
        with suppress(Error):
            call_command("migrate", "realtime", verbosity=0)
            return
    call_command("migrate", "realtime", verbosity=0)
