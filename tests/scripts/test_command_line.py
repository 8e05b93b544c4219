"""Commands of ``manage.py`` with a faulty disk or database: they print one line, no traceback, and exit with 1."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support import ports
from tests.support.patience import START
from tests.support.postgresql import PostgreSQL
from tests.support.programs import ROOT
from tests.support.server import MigratedSQLite, environ

pytestmark = pytest.mark.slow

MIGRATE = "The database has no tables, or those of an older release. Make them: python manage.py migrate"

# Mounts a small disk at VAR_DIR with a copy of a database and a number of free KiB, and runs a command.
SMALL_DISK = """
mount -t tmpfs -o size=8m tmpfs "$VAR_DIR" || exit 2
if [ -n "$1" ]; then cp "$1" "$VAR_DIR/db.sqlite3"; fi
head -c "$2"k /dev/zero >"$VAR_DIR/left" && cat /dev/zero >"$VAR_DIR/filled" 2>/dev/null
rm "$VAR_DIR/left"
shift 2
exec "$@"
"""


def run(command: str, *before: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*before, sys.executable, "manage.py", *command.split()],
        cwd=ROOT,
        env=environ(**variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=START,
    )


def error_of(command: str, *before: str, **variables: str) -> str:
    """The one line with which a failing command ends, without the program's name."""
    options = {"serve": f"--port {ports.free_port()}", "migrate": "--verbosity 0"}
    done = run(f"{command} {options.get(command, '')}", *before, **variables)
    assert done.returncode == 1, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    name, _, text = line.partition(": ")
    assert name in ("manage.py", "CommandError")
    return text


@pytest.mark.parametrize("command, kept", [("migrate", 0), ("serve", 0.1)])
def test_command__damaged_sqlite__one_line_that_names_the_file_and_the_backup(
    command: str, kept: float, sqlite_template: MigratedSQLite, tmp_path: Path
) -> None:
    """A file without a database, or with only its beginning."""
    sqlite_template.copy(tmp_path)
    content = (tmp_path / "db.sqlite3").read_bytes()
    (tmp_path / "db.sqlite3").write_bytes(content[: int(kept * len(content))] or b"\x01" * 20_000)

    text = error_of(command, VAR_DIR=str(tmp_path))

    assert text.startswith(f"{tmp_path}/db.sqlite3 is damaged")
    assert "Restore a backup (docs/operations.md)" in text


@pytest.fixture
def small_disk() -> Callable[..., list[str]]:
    """The command line that runs a command in a namespace with ``SMALL_DISK``."""
    namespace = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
    if shutil.which("unshare") is None or subprocess.run([*namespace, "true"], capture_output=True).returncode:
        pytest.skip("no disk can be mounted in a namespace here")

    def before(database: Path | str, kib: int) -> list[str]:
        return [*namespace, "sh", "-c", SMALL_DISK, "sh", str(database), str(kib)]

    return before


def test_serve__disk_is_full__one_line_that_names_it(
    small_disk: Callable[..., list[str]], sqlite_template: MigratedSQLite, tmp_path: Path
) -> None:
    # Without SECRET_KEY, the file of the installation's key would fail first.
    text = error_of("serve", *small_disk(sqlite_template.file, 0), VAR_DIR=str(tmp_path), SECRET_KEY="x" * 50)

    assert text == f"The disk is full, so {tmp_path}/db.sqlite3 cannot be written. Free some space, and start again."


def test_migrate__disk_becomes_full__one_line(small_disk: Callable[..., list[str]], tmp_path: Path) -> None:
    text = error_of("migrate", *small_disk("", 200), VAR_DIR=str(tmp_path))

    assert text.startswith("The disk is full")
    assert text.endswith("Free some space, and start again.")


@pytest.mark.parametrize("command", ["migrate", "serve", "run_scheduler"])
def test_command__postgresql_unreachable__one_line_with_its_address_and_no_password(
    command: str, tmp_path: Path
) -> None:
    port = ports.free_port()

    text = error_of(command, VAR_DIR=str(tmp_path), DATABASE_URL=f"postgres://flags:5ecret@127.0.0.1:{port}/flags")

    assert text.startswith(f"PostgreSQL at 127.0.0.1:{port} cannot be used (connection failed: ")
    assert text.endswith("Connection refused). Check DATABASE_URL, and that the server runs.")
    assert "5ecret" not in text


def test_seed_demo__before_migrate__one_line_that_names_the_command(postgresql: PostgreSQL, tmp_path: Path) -> None:
    empty = postgresql.url(postgresql.create_database())
    for variables in ({}, {"DATABASE_URL": empty}):
        assert error_of("seed_demo", VAR_DIR=str(tmp_path), **variables) == MIGRATE


def test_command__option_traceback__prints_the_traceback(tmp_path: Path) -> None:
    done = run("seed_demo --traceback", VAR_DIR=str(tmp_path))

    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "no such table" in done.stderr
