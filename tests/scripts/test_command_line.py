"""Commands of ``manage.py`` where the machine or the database is at fault: one line, status 1, and no traceback."""

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

MIGRATE = "The database has no tables, or those of an older release. Make them: python manage.py migrate"

# Runs a command where VAR_DIR is a disk of its own: with a copy of this database, and with so many KiB left.
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


def refused(command: str, *before: str, **variables: str) -> str:
    """Run a command that cannot work; the one line that it ends with, without the name of who prints it."""
    more = {"serve": f"--port {ports.free_port()}", "migrate": "--verbosity 0"}
    done = run(f"{command} {more.get(command, '')}", *before, **variables)
    assert done.returncode == 1, done
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    name, _, text = line.partition(": ")
    assert name in ("manage.py", "CommandError")
    return text


@pytest.mark.parametrize(
    "command, kept", [("migrate", 0), ("serve", 0), ("deliver_webhooks", 0), ("seed_demo", 0.1), ("serve", 0.1)]
)
def test_command__damaged_sqlite__one_line_that_names_the_file_and_the_backup(
    command: str, kept: float, sqlite_template: MigratedSQLite, tmp_path: Path
) -> None:
    """A file that is no database, or has lost all but its beginning."""
    sqlite_template.copy(tmp_path)
    content = (tmp_path / "db.sqlite3").read_bytes()
    (tmp_path / "db.sqlite3").write_bytes(content[: int(kept * len(content))] or b"\x01" * 20_000)

    text = refused(command, VAR_DIR=str(tmp_path))

    assert text.startswith(f"{tmp_path}/db.sqlite3 is damaged")
    assert "Restore a backup (docs/operations.md)" in text


@pytest.fixture
def small_disk() -> Callable[..., list[str]]:
    """What to put before a command: a namespace in which its VAR_DIR is ``SMALL_DISK``."""
    namespace = ["unshare", "--mount", *(["--map-root-user"] if os.geteuid() else [])]
    if shutil.which("unshare") is None or subprocess.run([*namespace, "true"], capture_output=True).returncode:
        pytest.skip("no disk of its own can be mounted here")

    def before(database: Path | str, kib: int) -> list[str]:
        return [*namespace, "sh", "-c", SMALL_DISK, "sh", str(database), str(kib)]

    return before


@pytest.mark.parametrize("command", ["seed_demo", "serve"])
def test_command__disk_is_full__one_line_that_names_it(
    command: str, small_disk: Callable[..., list[str]], sqlite_template: MigratedSQLite, tmp_path: Path
) -> None:
    # The installation's key would be the first file that is missing.
    text = refused(command, *small_disk(sqlite_template.file, 0), VAR_DIR=str(tmp_path), SECRET_KEY="x" * 50)

    assert text == f"The disk is full, so {tmp_path}/db.sqlite3 cannot be written. Free some space, and start again."


@pytest.mark.parametrize("kib", [0, 200])
def test_migrate__disk_is_full_before_it_ends__one_line(
    kib: int, small_disk: Callable[..., list[str]], tmp_path: Path
) -> None:
    text = refused("migrate", *small_disk("", kib), VAR_DIR=str(tmp_path))

    assert text.startswith("The disk is full")
    assert text.endswith("Free some space, and start again.")


@pytest.mark.parametrize("command", ["migrate", "seed_demo", "serve", "run_scheduler"])
def test_command__postgresql_unreachable__one_line_with_its_place_and_no_password(command: str, tmp_path: Path) -> None:
    port = ports.free_port()

    text = refused(command, VAR_DIR=str(tmp_path), DATABASE_URL=f"postgres://flags:5ecret@127.0.0.1:{port}/flags")

    assert text.startswith(f"PostgreSQL at 127.0.0.1:{port} cannot be used (connection failed: ")
    assert text.endswith("Connection refused). Check DATABASE_URL, and that the server runs.")
    assert "5ecret" not in text


def test_command__no_such_database__one_line_that_names_it(postgresql: PostgreSQL, tmp_path: Path) -> None:
    text = refused("serve", VAR_DIR=str(tmp_path), DATABASE_URL=postgresql.url("nowhere"))

    assert 'database "nowhere" does not exist' in text


def test_seed_demo__before_migrate__one_line_that_names_the_command(postgresql: PostgreSQL, tmp_path: Path) -> None:
    empty = postgresql.url(postgresql.create_database())
    for variables in ({}, {"DATABASE_URL": empty}):
        assert refused("seed_demo", VAR_DIR=str(tmp_path), **variables) == MIGRATE


def test_command__traceback_wanted__all_of_it(tmp_path: Path) -> None:
    done = run("seed_demo --traceback", VAR_DIR=str(tmp_path))

    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "no such table" in done.stderr


def test_command__settings_named_by_an_option__are_its_settings(tmp_path: Path) -> None:
    done = run("check --settings settings.production", VAR_DIR=str(tmp_path))

    assert done.returncode == 1
    assert done.stderr == "manage.py: ImproperlyConfigured: SECRET_KEY must be set.\n"
