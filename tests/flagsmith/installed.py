"""A real Flagsmith with this app installed: one line in INSTALLED_APPS, and one process more, which has the streams."""

import re
from pathlib import Path
from typing import Any

from tests.flagsmith.monolith import START_SECONDS, Flagsmith
from tests.support import ports, programs
from tests.support.processes import accepts_connections

PAGE = programs.ROOT / "docs" / "plugging-in.md"

(SETTINGS,) = re.findall(r"```python\n(from app.*?)```", PAGE.read_text(), re.DOTALL)
"""The settings module, as the documentation has it."""

MODULE = "settings_with_realtime"


# What tests follow is to outlast a task processor's delays.
STREAM_SECONDS = "REALTIME_STREAM_SECONDS = 3600\n"


class FlagsmithWithApp(Flagsmith):
    """It, and its streams on a port of their own."""

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
        """The one whose API an admin calls."""
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
        """Serve its streams on this port, too, in one process more, and wait until it does."""
        streams = self.spawn(f"streams-{port}", "serve_realtime", f"--port={port}", *arguments)
        streams.wait_until(lambda: accepts_connections(port), START_SECONDS)

    def check(self, **variables: str) -> str:
        """What ``manage.py check`` says with these variables."""
        process = self.spawn("check", "check", variables=variables)
        process.wait(START_SECONDS)
        process.stop()
        return process.log
