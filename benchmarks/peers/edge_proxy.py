"""Flagsmith's Edge Proxy, from a checkout of its sources, in a virtual environment with the locked packages."""

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks import cores
from tests.support import ports, programs
from tests.support.processes import Process, accepts_connections
from tests.support.programs import ProgramMissingError

CACHE = programs.ROOT / "var" / "edge-proxy"

PYTHON = "python3.12"
"""The oldest version that the Edge Proxy supports."""

# Its start reads the environment document.
START_SECONDS = 60.0


@contextmanager
def edge_proxy(
    checkout: Path, api_url: str, client_side_key: str, server_side_key: str, on: list[int] = cores.SERVER
) -> Iterator[tuple[int, int]]:
    """Run it in front of this API, and yield port and process id. Raises ProgramMissingError without Python 3.12."""
    port = ports.free_port()
    configuration = {
        "environment_key_pairs": [{"client_side_key": client_side_key, "server_side_key": server_side_key}],
        "api_url": api_url,
        "api_poll_frequency_seconds": 3_600,
        "server": {"host": "127.0.0.1", "port": port},
        "logging": {"enable_access_log": False, "log_level": "WARNING"},
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "config.json"
        file.write_text(json.dumps(configuration))
        variables = {"CONFIG_PATH": str(file), "PYTHONPATH": str(checkout / "src")}
        with cores.pinned_to(on):
            command = [str(_python(checkout)), "-c", "from edge_proxy.main import serve; serve()"]
            process = Process(command, environ={**os.environ, **variables})
        try:
            process.wait_until(lambda: accepts_connections(port), START_SECONDS)
            yield port, process.pid
        finally:
            process.stop()


def _python(checkout: Path) -> Path:
    """The Python of the virtual environment, which is created for each version of the lock file."""
    lock = (checkout / "requirements.lock").read_text()
    folder = CACHE / hashlib.sha256(lock.encode()).hexdigest()[:16]
    python = folder / "bin" / "python"
    if not python.is_file():
        program = shutil.which(PYTHON)
        if program is None:
            raise ProgramMissingError(f"{PYTHON} is not installed")
        incomplete = folder.with_suffix(".incomplete")
        subprocess.run([program, "-m", "venv", "--clear", incomplete], check=True)
        requirements = incomplete / "requirements.txt"
        # Without the line that installs the checkout itself.
        requirements.write_text("\n".join(line for line in lock.splitlines() if not line.startswith("-e ")))
        install: list[str | Path] = [
            incomplete / "bin" / "python",
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-deps",
            "-r",
            requirements,
        ]
        subprocess.run(install, check=True)
        incomplete.rename(folder)
    return python
