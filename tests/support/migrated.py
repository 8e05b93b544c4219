"""Databases with all tables and no rows, of which tests and servers get copies: a migration takes seconds, a copy none.

They are made once for what the migrations are, and kept in ``.pytest_cache`` for all processes and for the next run.
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
ELSEWHERE = {"benchmarks", "deploy", "docs", "scripts", "tests", "var"}


def kept(name: str, make: Callable[[Path], None]) -> Path:
    """The folder that ``make`` has filled, now or for another process."""
    place = FOLDER / f"{name}-{_migrations()}"
    with _locked(name):
        if not place.exists():
            for old in FOLDER.glob(f"{name}-*"):
                # What is newer, a run of tests may be copying.
                if time.time() - old.stat().st_mtime > DAY:
                    shutil.rmtree(old)
            with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
                # PostgreSQL runs as an account of its own.
                Path(folder).chmod(0o755)
                make(Path(folder) / "made")
                shutil.move(Path(folder) / "made", place)
    return place


@contextmanager
def _locked(name: str) -> Iterator[None]:
    FOLDER.mkdir(parents=True, exist_ok=True)
    with (FOLDER / f"{name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


@cache
def _migrations() -> str:
    """A name for all that decides what a migrated database holds."""
    # Not the folder of node's modules, nor what a run leaves: to look through them takes longer than all the rest.
    places = [place for place in programs.ROOT.iterdir() if place.name[0].isalpha() and place.name not in ELSEWHERE]
    files = [file for place in places for file in place.glob("**/migrations/*.py")]
    files += [programs.ROOT / "requirements.txt", programs.ROOT / "settings" / "base.py"]
    digest = hashlib.sha256(sys.version.encode())
    for path in sorted(files):
        digest.update(str(path.relative_to(programs.ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()[:16]
