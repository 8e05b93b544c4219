"""The wheel that this project is distributed as: ``realtime/`` alone."""

import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

from tests.support import migrated, programs

# The packages of the wheel's extras.
OF_EXTRAS = ("dj_database_url", "httptools", "psycopg", "psycopg_pool", "redis", "uvicorn", "uvloop")

# Python imports sitecustomize when it starts. A module that is None in sys.modules cannot be imported.
WITHOUT_EXTRAS = f"import sys\nsys.modules.update(dict.fromkeys({OF_EXTRAS}))\n"


def build(folder: Path) -> Path:
    """Build the wheel into this folder, without downloads."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", f"--outdir={folder}", str(programs.ROOT)]
    subprocess.run(command, check=True, capture_output=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def install(folder: Path, *, extras: bool = True, django: str = "") -> Path:
    """Create a virtual environment with the wheel in this folder, and return its Python.

    Dependencies have our pinned versions. The packages of the extras are optional, and Django may have another minor
    version ("5.0").
    """
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "environment"], check=True)
    python = folder / "environment" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", build(folder)], check=True)
    (packages,) = (folder / "environment" / "lib").glob("python3*/site-packages")
    paths = [programs.SITE_PACKAGES]
    if django and not version("django").startswith(f"{django}."):
        paths.insert(0, _django(django))
    (packages / "ours.pth").write_text("".join(f"{path}\n" for path in paths))
    if not extras:
        (packages / "sitecustomize.py").write_text(WITHOUT_EXTRAS)
    return python


def _django(minor: str) -> Path:
    """A folder with the newest release of this minor version."""

    def download(folder: Path) -> None:
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]
        if subprocess.run([*pip, f"--target={folder}", f"Django=={minor}.*"]).returncode:
            raise programs.ProgramMissingError(f"Django {minor} is not in pip's index")

    return migrated.cached(f"django-{minor}", download)
