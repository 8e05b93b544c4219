import resource
from argparse import ArgumentParser
from typing import Any

import uvicorn
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from realtime.conf import conf
from realtime.protocol import ShortcutProtocol


class Command(BaseCommand):
    """Serves the API and the streams with uvicorn."""

    help = "Serve the API and the streams (uvicorn with uvloop and httptools)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1")
        parser.add_argument("--port", type=int, default=8000)
        parser.add_argument("--workers", type=int, default=1, help="processes that share the port")

    def handle(self, *args: Any, **options: Any) -> None:
        if not 0 < options["port"] < 65_536:
            raise CommandError("--port must be between 1 and 65535.")
        if options["workers"] < 1:
            raise CommandError("--workers must be at least 1.")
        if options["workers"] > 1:
            self.stderr.write(
                "Several workers: an event reaches the streams of another worker by the reconcile, "
                f"within about {conf.RECONCILE_SECONDS:g} s."
            )
        self.stderr.write(f"Open files: {_raise_open_files():,} in each process; each stream takes one.")
        uvicorn.run(
            ":".join(settings.ASGI_APPLICATION.rsplit(".", 1)),
            host=options["host"],
            port=options["port"],
            workers=options["workers"],
            loop="uvloop",
            http=ShortcutProtocol,
            ws="none",
            lifespan="on",
            backlog=4096,
            access_log=False,
            log_config=None,
            server_header=False,
            # What a proxy says of its client is read by Django and by throttles, as far as the settings trust it.
            proxy_headers=False,
            # Streams have ended by then; this is for requests under way.
            timeout_graceful_shutdown=10,
        )


def _raise_open_files() -> int:
    """Let this process and its workers have as many open files as they may. Returns how many that is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most
