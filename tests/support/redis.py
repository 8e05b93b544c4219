"""A private Redis on a free port, without persistence."""

import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.support import ports, programs
from tests.support.processes import Process, accepts_connections


class Redis:
    """A context manager: a Redis that may be stopped and started."""

    def __init__(self) -> None:
        self._program = str(programs.require("redis-server"))
        self._folder = Path(tempfile.mkdtemp(prefix="redis-"))
        self._process: Process | None = None
        self.port = ports.free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    @property
    def process(self) -> Process:
        assert self._process is not None, "Redis was not started"
        return self._process

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        options = {
            "bind": "127.0.0.1",
            "port": str(self.port),
            "save": "",
            "appendonly": "no",
            "dir": str(self._folder),
        }
        arguments = [word for name, value in options.items() for word in (f"--{name}", value)]
        self._process = Process([self._program, *arguments])
        self._process.wait_until(lambda: accepts_connections(self.port))

    def stop(self) -> None:
        """Stop it immediately, with all connections."""
        if self._process:
            self._process.kill()
            self._process = None
