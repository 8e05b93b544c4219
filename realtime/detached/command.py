"""``flagsmith-realtime``, or ``python -m realtime.detached``: the drop-in real-time server for a Flagsmith.

flagsmith-realtime [serve] [--host H] [--port P] [--workers N]

Without a command it serves, on 0.0.0.0:8000 by default, as Flagsmith's own server does. Other Django commands work as
well (``check``, ``migrate``).
"""

import os
import sys

import django

from realtime import extras
from realtime.detached import start
from realtime.serving import command_line, redis_check, tables

NAME = "flagsmith-realtime"
SERVE = "serve"
ALL_INTERFACES = "--host=0.0.0.0"

REQUIRED_VARIABLE = "SSE_AUTHENTICATION_TOKEN"
HELP = {"-h", "--help"}


def main() -> None:
    """Run the command line. ``serve`` creates missing tables first."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "realtime.detached.settings")
    arguments = [sys.argv[0], *with_defaults(sys.argv[1:])]
    is_help = bool(HELP.intersection(arguments))
    if is_help:
        # The settings need a token, a help text does not.
        os.environ.setdefault(REQUIRED_VARIABLE, "help")
    with command_line.one_line_failures(NAME, arguments):
        django.setup()
        if arguments[1] == SERVE and not is_help:
            problem = extras.problem("serve", "uvicorn", "httptools", "uvloop")
            problem = problem or command_line.problem_of_database() or redis_check.problem()
            if problem:
                sys.exit(f"{NAME}: {problem}")
            start.log_configuration()
            if command_line.has_database():
                tables.create()
    command_line.execute(NAME, arguments)


def with_defaults(arguments: list[str]) -> list[str]:
    """The arguments with the command and the host that apply if they are left out."""
    if not arguments or (arguments[0].startswith("-") and not HELP.intersection(arguments)):
        arguments = [SERVE, *arguments]
    if arguments[0] == SERVE:
        # The last of two equal options wins.
        return [SERVE, ALL_INTERFACES, *arguments[1:]]
    return arguments
