import os
import resource
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from realtime import bus, extras
from realtime.conf import conf
from realtime.monitoring import shared_counters
from realtime.serving import command_line


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
        if problem := extras.problem("serve", "uvicorn", "httptools", "uvloop"):
            raise CommandError(problem)
        if problem := command_line.problem_of_database():
            raise CommandError(problem)
        if options["workers"] > 1 and bus.name() == "memory":
            self.stderr.write(
                "Several workers without a bus (PostgreSQL or Redis): an event reaches the streams of another worker "
                f"by the reconcile, within about {conf.RECONCILE_SECONDS:g} s."
            )
        self.stderr.write(f"Open files: {_raise_open_files():,} in each process; each stream takes one.")
        with _shared_figures(options["workers"]):
            self._serve(options)

    def application(self) -> str:
        """The ASGI application that is served, as a dotted path."""
        return str(settings.ASGI_APPLICATION)

    restarts_on_hup = True
    """SIGHUP replaces the workers one after the other."""

    def uvicorn_settings(self) -> dict[str, Any]:
        """Further arguments of uvicorn's configuration."""
        return {}

    def _serve(self, options: dict[str, Any]) -> None:
        # These are of the extra "serve".
        import uvicorn

        from realtime.http import servers
        from realtime.http.protocol import ShortcutProtocol

        config = uvicorn.Config(
            ":".join(self.application().rsplit(".", 1)),
            host=options["host"],
            port=options["port"],
            workers=options["workers"],
            loop="uvloop",
            http=ShortcutProtocol,
            ws="none",
            lifespan="on",
            backlog=4096,
            log_config=None,
            server_header=False,
            # X-Forwarded-For is read by realtime.http.addresses, from trusted proxies only.
            proxy_headers=False,
            # For requests under way; the drain has ended the streams.
            timeout_graceful_shutdown=10,
            # A worker's start takes seconds, more on a busy machine; a rolling restart stops if a worker takes longer.
            # A worker that does not respond for this time is killed.
            timeout_worker_healthcheck=30,
            **{"access_log": False, **self.uvicorn_settings()},
        )
        servers.run(config, restarts_on_hup=self.restarts_on_hup)


@contextmanager
def _shared_figures(workers: int) -> Iterator[None]:
    """Create the directory of the workers' shared metrics, unless the environment names one."""
    if workers == 1 or os.environ.get(shared_counters.DIRECTORY):
        yield
        return
    with TemporaryDirectory(prefix="realtime-metrics-") as directory:
        os.environ[shared_counters.DIRECTORY] = directory
        try:
            yield
        finally:
            del os.environ[shared_counters.DIRECTORY]


def _raise_open_files() -> int:
    """Raise the limit of open files for this process and its workers to the hard limit, and return it."""
    _, hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    return hard_limit
