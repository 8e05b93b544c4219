"""The audit of what is installed, with advisory databases of all kinds: pip-audit is played by a script."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.programs import ROOT

SKIPPED = "audit: skipped: no advisory database reached\n"
HOLE = {"id": "PYSEC-2026-1", "fix_versions": ["2.0"], "aliases": [], "description": ""}


def audit(folder: Path, answer: Any, status: int = 0) -> subprocess.CompletedProcess[str]:
    program = folder / "pip-audit"
    text = answer if isinstance(answer, str) else json.dumps({"dependencies": answer, "fixes": []})
    program.write_text(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {status}\n")
    program.chmod(0o755)
    return subprocess.run(
        [sys.executable, "scripts/advisories.py"],
        cwd=ROOT,
        env=os.environ | {"PATH": f"{folder}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
    )


def test_audit__hole_in_a_package__fails_and_names_both(tmp_path: Path) -> None:
    packages = [{"name": "django", "version": "1.0", "vulns": [HOLE]}, {"name": "six", "skip_reason": "unknown"}]
    done = audit(tmp_path, packages, status=1)

    assert done.returncode == 1
    assert done.stderr == "audit: django 1.0: PYSEC-2026-1, repaired in 2.0\n"


def test_audit__no_hole__passes_in_silence(tmp_path: Path) -> None:
    done = audit(tmp_path, [{"name": "django", "version": "1.0", "vulns": []}])

    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_audit__hole_in_what_the_environment_brings_along__passes(tmp_path: Path) -> None:
    assert audit(tmp_path, [{"name": "pip", "version": "1.0", "vulns": [HOLE]}], status=1).returncode == 0


@pytest.mark.parametrize(
    "answer, status",
    [([{"name": "django", "skip_reason": "not found"}], 0), ("", 1), ("Traceback", 1), ("{}", 1), ([], 0)],
    ids=["knows no package", "no answer", "failure", "another format", "nothing installed"],
)
def test_audit__no_database__skipped_in_one_line(tmp_path: Path, answer: Any, status: int) -> None:
    done = audit(tmp_path, answer, status)

    assert (done.returncode, done.stdout) == (0, SKIPPED)
