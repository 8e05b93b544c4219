"""A Flagsmith with this app in INSTALLED_APPS, and a further process that serves the streams."""

from pathlib import Path
from typing import Any

from tests.flagsmith.monolith import START_SECONDS, Flagsmith
from tests.support import ports, programs
from tests.support.processes import Process, accepts_connections

MODULE = "settings_with_realtime"

SETTINGS = (programs.ROOT / "deploy" / "monolith" / f"{MODULE}.py").read_text()
"""The settings module of an installation."""


# Streams outlast the delays of a task processor.
STREAM_SECONDS = "REALTIME_STREAM_SECONDS = 3600\n"


FOLLOWING = 'REALTIME_FLAGSMITH = "follow"\nREALTIME_RECONCILE_SECONDS = 0.1\n'
"""Settings for an installation without code in Flagsmith's own processes."""


class FlagsmithWithApp(Flagsmith):
    """A Flagsmith with streams on another port. ``lines`` are further lines of its settings module."""

    def __init__(self, *arguments: Any, lines: str = "", **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.stream_port = ports.free_port()
        self.lines = lines

    @property
    def python(self) -> Path:
        return self.checkout.python_with_app

    @property
    def settings(self) -> dict[str, str]:
        return {**super().settings, "DJANGO_SETTINGS_MODULE": MODULE, "PYTHONPATH": str(self._folder)}

    @property
    def flagsmith(self) -> Flagsmith:
        """The Flagsmith with the Admin API."""
        return self

    @property
    def stream_url(self) -> str:
        return f"http://127.0.0.1:{self.stream_port}"

    def start(self) -> None:
        (self._folder / f"{MODULE}.py").write_text(SETTINGS + STREAM_SECONDS + self.lines)
        self.manage("migrate", "realtime")
        super().start()
        self.streams = self.serve_streams(self.stream_port)

    def serve_streams(self, port: int, *arguments: str) -> Process:
        """Start a further process that serves streams on this port, and wait until it is ready."""
        streams = self.spawn(f"streams-{port}", "serve_realtime", f"--port={port}", *arguments)
        streams.wait_until(lambda: accepts_connections(port), START_SECONDS)
        return streams

    def check(self) -> str:
        """The output of ``manage.py check``."""
        process = self.spawn("check", "check")
        process.wait(START_SECONDS)
        process.stop()
        return process.log
