"""Migrated databases without rows, of which tests and servers get copies: a migration takes seconds.

They are cached in ``.pytest_cache`` by a digest of the migrations, for all processes and later runs.
"""

import fcntl
import hashlib
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

from tests.support import programs

FOLDER = programs.ROOT / ".pytest_cache" / "d" / "migrated"
DAY = 86_400

# Folders without migrations.
OTHER_FOLDERS = {"benchmarks", "deploy", "docs", "scripts", "tests", "var"}


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """The folder that ``make`` fills, in this process or in an earlier one."""
    folder = FOLDER / f"{name}-{_migrations()}"
    with _locked(name):
        if not folder.exists():
            for old in FOLDER.glob(f"{name}-*"):
                # Another run may be copying a newer one.
                if time.time() - old.stat().st_mtime > DAY:
                    shutil.rmtree(old)
            with tempfile.TemporaryDirectory(prefix=f"{name}-") as temporary:
                # PostgreSQL runs as another account.
                Path(temporary).chmod(0o755)
                make(Path(temporary) / "made")
                shutil.move(Path(temporary) / "made", folder)
    return folder


@contextmanager
def _locked(name: str) -> Iterator[None]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@cache
def _migrations() -> str:
    """A digest of all files that determine the content of a migrated database."""
    # Without node_modules and the files of runs, which would take longer than all others.
    folders = [
        folder for folder in programs.ROOT.iterdir() if folder.name[0].isalpha() and folder.name not in OTHER_FOLDERS
    ]
    files = [file for folder in folders for file in folder.glob("**/migrations/*.py")]
    files += [programs.ROOT / "requirements.txt", programs.ROOT / "settings" / "base.py"]
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(files):
        digest.update(str(path.relative_to(programs.ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]
