"""The commands of "Backup" in docs/operations.md."""

import re
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.api import AdminAPI, Tenant
from tests.support.programs import ROOT
from tests.support.server import MigratedSQLite, ServerProcess

SECTION = (ROOT / "docs" / "operations.md").read_text().partition("\n## Backup\n")[2].partition("\n## ")[0]


@pytest.mark.slow
def test_backup__sqlite_during_writes__restored_completely_with_a_newer_version(
    sqlite_template: MigratedSQLite, tmp_path: Path
) -> None:
    (command,) = re.findall(r"^```sh\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
    raising = re.findall(r"^`(UPDATE .*?)`", SECTION, re.MULTILINE | re.DOTALL)[-1]
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    variables = sqlite_template.copy(tmp_path / "var")
    with ServerProcess(variables) as server:
        tenant = Tenant.create(AdminAPI.registered(server.url))
        tenant.add_feature("banner", initial_value="kept", default_enabled=True)
        # The last writes are only in the WAL.
        assert (tmp_path / "var" / "db.sqlite3-wal").stat().st_size > 0
        subprocess.run(["bash", "-euc", command], cwd=tmp_path, check=True)
        tenant.add_feature("later")
        seen = tenant.version()

    (backup,) = tmp_path.glob("backup-*.sqlite3")
    for name in ("-wal", "-shm"):
        (tmp_path / "var" / f"db.sqlite3{name}").unlink(missing_ok=True)
    backup.rename(tmp_path / "var" / "db.sqlite3")
    with sqlite3.connect(tmp_path / "var" / "db.sqlite3") as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        database.execute(raising)
    database.close()
    with ServerProcess(variables) as server:
        tenant.api.url = server.url
        assert tenant.flags() == {"banner": (True, "kept")}
        assert tenant.version() >= seen


def test_backup__no_database__fails_and_creates_none(tmp_path: Path) -> None:
    (command,) = re.findall(r"^```sh\n(.*?)^```$", SECTION, re.MULTILINE | re.DOTALL)
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    (tmp_path / ".venv" / "bin" / "python").symlink_to(sys.executable)
    done = subprocess.run(["bash", "-euc", command], cwd=tmp_path, capture_output=True)

    assert done.returncode != 0
    assert not list(tmp_path.rglob("*.sqlite3"))
