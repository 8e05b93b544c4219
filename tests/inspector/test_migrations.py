"""Migration of the inspector's tables, which belonged to the app ``realtime`` in earlier releases."""

import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.programs import ROOT
from tests.support.server import environ

pytestmark = pytest.mark.slow

TABLES = {f"realtime_inspected{name}" for name in ("event", "minute", "process")}

SETTINGS = {"DJANGO_SETTINGS_MODULE": "realtime.detached.settings", "SSE_AUTHENTICATION_TOKEN": "t0ken"}

Migrate = Callable[..., None]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "flagsmith-realtime.sqlite3"


@pytest.fixture
def migrate(tmp_path: Path) -> Migrate:
    def run(*arguments: str, inspector: bool) -> None:
        variables = SETTINGS | {"VAR_DIR": str(tmp_path), "REALTIME_INSPECTION": str(inspector).lower()}
        command = [sys.executable, "-m", "realtime.detached", "migrate", "--verbosity=0", *arguments]
        subprocess.run(command, cwd=ROOT, env=environ(**variables), check=True)

    return run


@pytest.fixture
def before(file: Path, migrate: Migrate) -> None:
    """A database of an earlier release, with a row in a table of the inspector."""
    migrate("realtime", "0002", inspector=False)
    with sqlite3.connect(file) as database:
        database.execute(
            "INSERT INTO realtime_inspectedprocess (host, pid, started_at, seen_at)"
            " VALUES ('host', 7, '2026-01-01 00:00:00', '2026-01-01 00:00:00')"
        )


def tables(file: Path) -> set[str]:
    with sqlite3.connect(file) as database:
        return {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


@pytest.mark.usefixtures("before")
def test_migration__inspector_installed__tables_keep_their_rows(file: Path, migrate: Migrate) -> None:
    migrate("realtime_inspector", inspector=True)
    with sqlite3.connect(file) as database:
        assert database.execute("SELECT host, pid FROM realtime_inspectedprocess").fetchall() == [("host", 7)]
    # Backwards.
    migrate("realtime_inspector", "zero", inspector=True)
    migrate("realtime", "0002", inspector=True)
    assert tables(file) >= TABLES


@pytest.mark.usefixtures("before")
def test_migration__inspector_not_installed__its_tables_are_removed(file: Path, migrate: Migrate) -> None:
    migrate("realtime", inspector=False)
    assert {name for name in tables(file) if name.startswith("realtime")} == {"realtime_externalenvironment"}
    # If the app is installed later, its migration creates them.
    migrate("realtime_inspector", inspector=True)
    assert tables(file) >= TABLES
