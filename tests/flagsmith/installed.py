"""A Flagsmith with this app in INSTALLED_APPS, and a further process that serves the streams."""

import re
from pathlib import Path
from typing import Any

from tests.flagsmith.monolith import START_SECONDS, Flagsmith
from tests.support import ports, programs
from tests.support.processes import accepts_connections

PAGE = programs.ROOT / "docs" / "plugging-in.md"

(SETTINGS,) = re.findall(r"```python\n(from app.*?)```", PAGE.read_text(), re.DOTALL)
"""The settings module in the documentation."""

MODULE = "settings_with_realtime"


# Streams outlast the delays of a task processor.
STREAM_SECONDS = "REALTIME_STREAM_SECONDS = 3600\n"


class FlagsmithWithApp(Flagsmith):
    """A Flagsmith with streams on another port."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.stream_port = ports.free_port()

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
        (self._folder / f"{MODULE}.py").write_text(SETTINGS + STREAM_SECONDS)
        self.manage("migrate", "realtime")
        super().start()
        self.serve_streams(self.stream_port)

    def serve_streams(self, port: int, *arguments: str) -> None:
        """Start a further process that serves streams on this port, and wait until it is ready."""
        streams = self.spawn(f"streams-{port}", "serve_realtime", f"--port={port}", *arguments)
        streams.wait_until(lambda: accepts_connections(port), START_SECONDS)

    def check(self, **variables: str) -> str:
        """The output of ``manage.py check`` with these variables."""
        process = self.spawn("check", "check", variables=variables)
        process.wait(START_SECONDS)
        process.stop()
        return process.log
