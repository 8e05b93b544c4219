"""The drop-in real-time server, started by the wheel's command in a process of its own."""

import sys
from pathlib import Path

from tests.support.server import ServerProcess

TOKEN = "publisher-t0ken"


class DetachedServer(ServerProcess):
    """A context manager. The server keeps its state in the folder, or in a ``DATABASE_URL``."""

    def __init__(self, folder: Path, *arguments: str, **variables: str) -> None:
        own = {
            "DJANGO_SETTINGS_MODULE": "realtime.detached.settings",
            "SSE_AUTHENTICATION_TOKEN": TOKEN,
            "VAR_DIR": str(folder),
        }
        super().__init__({**own, **variables}, arguments=arguments)

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "realtime.detached", "serve", f"--port={self.port}", *self.arguments]
