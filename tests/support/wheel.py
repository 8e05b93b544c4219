"""The wheel that this project is distributed as: ``realtime/`` alone."""

import subprocess
import sys
from pathlib import Path

from tests.support import programs


def build(folder: Path) -> Path:
    """Build it into this folder. Nothing is downloaded for that."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", f"--outdir={folder}", str(programs.ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel
