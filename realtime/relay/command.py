"""``flagsmith-realtime relay``, or ``python -m realtime.relay``: the relay in front of a Flagsmith.

flagsmith-realtime relay [serve] [--host H] [--port P] [--workers N] [--check]
flagsmith-realtime relay render-config

``--check`` reads the configuration, fetches each document and ends. ``render-config`` writes an example to the file
``CONFIG_PATH``, unless there is one, and prints it.
"""

import asyncio
import json
import os
import sys
import tempfile
from argparse import ArgumentParser
from dataclasses import replace
from pathlib import Path
from typing import Any

import django
import structlog
from django.core.exceptions import ImproperlyConfigured

from realtime import extras
from realtime.management.commands import serve
from realtime.relay import configuration
from realtime.relay.configuration import Configuration
from realtime.serving import command_line, redis_check, tables, variables

NAME = "flagsmith-realtime relay"
RENDER = "render-config"
HELP = {"-h", "--help"}
CHECK = "--check"

# A configuration for ``--help``, which needs none.
HELP_KEY_PAIRS = "[]"

STATE_MODE, FILE_MODE = 0o700, 0o600

NOT_FOUND = 404
API_PATH = "/api/v1"
MISSING_PATH = f". The URL probably needs {API_PATH} at its end."

logger = structlog.get_logger(__name__)


class Serve(serve.Command):
    """Serves the relay."""

    help = "Serve the SDK API and streams from memory, in front of a Flagsmith (uvicorn with uvloop and httptools)."
    restarts_on_hup = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        server = configuration.current().server
        parser.set_defaults(host=server.host, port=server.port, workers=configuration.current().workers)
        parser.add_argument(
            CHECK, action="store_true", help="only check the configuration, and that the upstream answers"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["check"]:
            check(configuration.current())
        else:
            _log_configuration(configuration.current())
            super().handle(*args, **options)

    def uvicorn_settings(self) -> dict[str, Any]:
        relay = configuration.current()
        return {
            "access_log": relay.logging.enable_access_log,
            "timeout_keep_alive": relay.server.timeout_keep_alive,
        }


def main() -> None:
    """Run the command line."""
    os.environ["DJANGO_SETTINGS_MODULE"] = "realtime.relay.settings"
    arguments = sys.argv[1:]
    if arguments[:1] == [RENDER]:
        render_configuration()
        return
    if arguments[:1] == ["serve"]:
        arguments = arguments[1:]
    is_help = bool(HELP.intersection(arguments))
    serves = not is_help and CHECK not in arguments
    if is_help:
        os.environ.setdefault("ENVIRONMENT_KEY_PAIRS", HELP_KEY_PAIRS)
    problem = extras.problem("relay", "httpx", "flag_engine", "regex", "uvicorn", "httptools", "uvloop")
    if problem:
        sys.exit(f"{NAME}: {problem}")
    with command_line.one_line_failures(NAME, arguments):
        if serves:
            _make_state_directory()
        django.setup()
        if not is_help and (problem := redis_check.problem()):
            sys.exit(f"{NAME}: {problem}")
        if serves and command_line.has_database():
            tables.create()
        Serve().run_from_argv([sys.argv[0], "relay", *arguments])


def render_configuration() -> None:
    """Print an example of the configuration, and write it to the file if there is none."""
    text = json.dumps(configuration.example(), indent=4) + "\n"
    file = configuration.path()
    sys.stdout.write(text)
    try:
        with file.open("x") as created:
            created.write(text)
    except FileExistsError:
        sys.stderr.write(f"{NAME}: {file} is there already, and was not changed.\n")
    except OSError as error:
        sys.exit(f"{NAME}: {file} cannot be written ({error.strerror}).")


def check(relay: Configuration) -> None:
    """Fetch each document, and exit with status 1 if one cannot be used."""
    problems = asyncio.run(_fetch_all(relay))
    for pair in relay.environment_key_pairs:
        problem = problems.get(pair.client_side_key)
        sys.stdout.write(f"{pair.client_side_key}: {problem or 'the document can be used'}\n")
    if problems:
        sys.exit(1)


async def _fetch_all(relay: Configuration) -> dict[str, str]:
    """The problems by client-side key. Each URL is tried."""
    from realtime.relay import document
    from realtime.relay.upstream import Upstream, UpstreamError
    from realtime.types import EnvironmentKey

    problems: dict[str, str] = {}
    for url in relay.api_urls:
        upstream = Upstream(replace(relay, api_urls=(url,)))
        for pair in relay.environment_key_pairs:
            try:
                fetched = await upstream.document(pair.server_side_key, None)
                document.receive(EnvironmentKey(pair.client_side_key), fetched.body or b"", None)
            except UpstreamError as error:
                # A page of Flagsmith's front end is no document either.
                is_elsewhere = error.result in ("invalid", "foreign") or error.status == NOT_FOUND
                hint = MISSING_PATH if is_elsewhere and not url.endswith(API_PATH) else ""
                problems.setdefault(pair.client_side_key, f"{url}: {error}{hint}")
        await upstream.close()
    return problems


def _make_state_directory() -> None:
    """Make the directory, or a temporary one if the default one cannot be made. Raises ImproperlyConfigured."""
    if variables.redis_variable() is not None:
        return
    directory = configuration.state_directory()
    try:
        directory.mkdir(mode=STATE_MODE, parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=directory).close()
        _make_database_private(directory)
    except OSError as error:
        if os.environ.get("RELAY_STATE_DIR", "").strip():
            problem = f"{directory} cannot be written ({error.strerror})"
            raise ImproperlyConfigured(f"RELAY_STATE_DIR: {problem}. Name a directory of this user.") from None
        # Workers share it. It is removed with the machine's other temporary files.
        os.environ["RELAY_STATE_DIR"] = tempfile.mkdtemp(prefix="flagsmith-relay-")
        _make_database_private(configuration.state_directory())


def _make_database_private(directory: Path) -> None:
    """Create the file of posted versions. SQLite's other files get its mode."""
    database = directory / configuration.DATABASE_FILE
    database.touch(FILE_MODE)
    database.chmod(FILE_MODE)


def _log_configuration(relay: Configuration) -> None:
    file: Path = configuration.path()
    if file.is_file():
        logger.info("configuration_loaded", file=str(file), environments=len(relay.environment_key_pairs))
    else:
        logger.info("configuration_file_not_found", file=str(file), environments=len(relay.environment_key_pairs))
    for name, reason in (relay.notices | variables.notices()).items():
        logger.warning("variable_has_no_effect", variable=name, reason=reason)
    if variables.redis_variable() is not None:
        logger.info("state_is_in_redis")
    else:
        logger.info("state_is_in_directory", directory=str(configuration.state_directory().resolve()))
