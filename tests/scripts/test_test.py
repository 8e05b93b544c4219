"""Exit status of ``scripts/test``, and the tests that it selects. A script takes the place of pytest and coverage."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import programs
from tests.support.patience import PATIENCE
from tests.support.server import environ

# Runs the code that environment.sh gives to Python, and exits with the given status instead of running tests.
STAND_IN = f"""#!/bin/sh
case "$*" in
    -c*) exec {sys.executable} "$@" ;;
    *tests.support.programs*) exit 0 ;;
    *on_postgresql*) exit $ON_POSTGRESQL ;;
    *pytest*) exit $ON_SQLITE ;;
    report*) exit $COVERAGE ;;
esac
"""
NAMES = {
    "ON_SQLITE": "pytest",
    "ON_POSTGRESQL": "on_postgresql",
    "COVERAGE": "report",
    "CHECK": "scripts/check",
    "MODEL": "scripts/model",
}
GREEN = dict.fromkeys(NAMES, "0")

RUN = "-m pytest --numprocesses 4 --dist loadscope"
AGAIN = "-m tests.support.on_postgresql python"
COVERAGE = "--cov --cov-append --cov-report= --cov-fail-under 0"


def script(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("scripts/test", "scripts/environment.sh", "requirements.txt", "requirements-dev.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        shutil.copy(programs.ROOT / name, tmp_path / name)
    script(tmp_path / "scripts/check", "#!/bin/sh\necho checked\nexit $CHECK\n")
    script(tmp_path / "scripts/model", "#!/bin/sh\necho searched\nexit $MODEL\n")
    for name in ("python", "coverage"):
        script(tmp_path / ".venv/bin" / name, STAND_IN)
    installed = (programs.ROOT / "requirements-dev.txt").read_bytes() + (
        programs.ROOT / "requirements.txt"
    ).read_bytes()
    (tmp_path / ".venv/.installed-requirements-dev.txt").write_bytes(installed)
    script(tmp_path / "tests/test_one.py", "pytestmark = pytest.mark.database\n")
    return tmp_path


def run(folder: Path, *arguments: str, **status: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["scripts/test", *arguments],
        cwd=folder,
        env=environ(**({"TEST_ALL": ""} | GREEN | status)),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_scripts_test__everything_passes__ends_with_0(folder: Path) -> None:
    done = run(folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert "checked\nsearched\n" in done.stdout


@pytest.mark.parametrize("step", GREEN)
def test_scripts_test__one_step_fails__ends_with_1_and_names_it(folder: Path, step: str) -> None:
    done = run(folder, "--all", **{step: "1"})
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("test: failed: ")
    assert NAMES[step] in line


@pytest.mark.parametrize(
    ("arguments", "selected"),
    [
        ((), [f"false {RUN} -m not slow", f"false {AGAIN} {RUN} -m database and not slow tests/races"]),
        (("--all",), [f"true {RUN} {COVERAGE}", f"true {AGAIN} {RUN} {COVERAGE} -m database tests/test_one.py"]),
    ],
    ids=["some", "all"],
)
def test_scripts_test__some_or_all__selects_the_tests(
    folder: Path, arguments: tuple[str, ...], selected: list[str]
) -> None:
    script(folder / ".venv/bin/python", STAND_IN.replace("exit $ON_", 'echo "$TEST_ALL $*"; exit $ON_'))

    runs = [line for line in run(folder, *arguments).stdout.splitlines() if "-m pytest" in line]

    assert [line.removesuffix(line[len(start) :]) for line, start in zip(runs, selected, strict=True)] == selected


def test_scripts_test__arguments__pytest_alone_with_its_status(folder: Path) -> None:
    done = run(folder, "tests/test_one.py", ON_SQLITE="5")
    assert (done.returncode, done.stdout) == (5, "")


def test_scripts_test__flagsmith__its_tests_alone_with_the_checkout(folder: Path) -> None:
    script(folder / ".venv/bin/python", STAND_IN.replace("*pytest*)", '*pytest*) echo "$* $FLAGSMITH_CHECKOUT";'))
    done = run(folder, "--flagsmith", "/a/checkout", ON_SQLITE="5")
    assert (done.returncode, done.stdout) == (5, "-m pytest -m flagsmith tests/flagsmith /a/checkout\n")


def test_scripts_test__flagsmith_without_a_path__one_line_that_says_so(folder: Path) -> None:
    done = run(folder, "--flagsmith")
    assert (done.returncode, done.stderr) == (1, "test: --flagsmith needs the path of a checkout\n")


def test_scripts_test__latest__its_own_environment_and_tests(folder: Path) -> None:
    versions = 'case "$*" in *freeze*) echo uvicorn==9; exit ;; esac\n'
    script(
        folder / "var/latest/bin/python",
        STAND_IN.replace("\n", f"\n{versions}", 1).replace("*pytest*)", '*pytest*) echo "$*";'),
    )
    done = run(folder, "--latest", ON_SQLITE="5")
    lines = ["Installing the newest versions into var/latest", "uvicorn==9", "-m pytest tests/compat tests/wire"]
    assert (done.returncode, done.stdout.splitlines()) == (5, lines)
