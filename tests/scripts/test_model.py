"""The model of the protocol: its page, and the exit status of ``scripts/model``."""

import re
import shutil
import subprocess
from importlib import import_module
from pathlib import Path

import pytest

from tests.support import programs
from tests.support.patience import PATIENCE
from tests.support.programs import ROOT
from tests.support.server import environ

pytestmark = pytest.mark.slow

MODEL = ROOT / "docs" / "model"
PAGE = (MODEL / "README.md").read_text()
SOURCES = {path.stem: path.read_text() for path in MODEL.glob("*.pml")}


def section(title: str) -> str:
    return PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def is_importable(path: str) -> bool:
    """Whether this is a module, or an object in one."""
    names = path.split(".")
    for length in range(len(names), 0, -1):
        try:
            found = import_module(".".join(names[:length]))
        except ModuleNotFoundError:
            continue
        return all((found := getattr(found, name, None)) is not None for name in names[length:])
    return False


def test_model_page__import_paths__each_leads_to_an_object() -> None:
    paths = set(re.findall(r"`((?:realtime|core|django)\.[\w.]+)`", PAGE))

    assert len(paths) > 30
    assert {path for path in paths if not is_importable(path)} == set()


@pytest.mark.parametrize("model", SOURCES)
def test_model_page__steps_of_the_model__each_is_mapped_to_code(model: str) -> None:
    table = section("From the model to the code").partition(f"Steps of `{model}.pml`:")[2].partition("\nSteps of")[0]
    steps = re.findall(r"^(?:inline|proctype) (\w+)", SOURCES[model], re.MULTILINE)
    mapped = {name for line in table.splitlines() for name in re.findall(r"`(\w+)`", line.split(" | ")[0])}

    assert steps
    assert set(steps) - mapped == set()
    assert {name for name in mapped if not re.search(rf"\b{name}\(", SOURCES[model])} == set()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    programs.require("spin")
    programs.require("cc")
    (tmp_path / "scripts").mkdir()
    for name in ("model", "environment.sh"):
        shutil.copy(ROOT / "scripts" / name, tmp_path / "scripts")
    shutil.copytree(MODEL, tmp_path / "docs" / "model")
    return tmp_path


def run(folder: Path, *names: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["scripts/model", *names],
        cwd=folder,
        env=environ(**variables),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def break_promise(folder: Path, model: str, switch: str) -> None:
    path = folder / "docs" / "model" / f"{model}.pml"
    path.write_text(f"#define {switch}\n{path.read_text()}")


def test_scripts_model__promises_kept_and_mutations_found__ends_with_0(folder: Path) -> None:
    done = run(folder, "autocommit", "FUTURE_TRUSTED", "NO_RECONCILE")

    assert (done.returncode, done.stderr) == (0, "")
    assert re.search(r"^autocommit +passed +[1-9]\d+ states", done.stdout, re.MULTILINE)
    assert re.search(r"^FUTURE_TRUSTED +breaks I6 +[1-9]\d* states", done.stdout, re.MULTILINE)
    assert re.search(r"^NO_RECONCILE +breaks I5 +[1-9]\d* states", done.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    "model, switch, check",
    [("delivery", "MAILBOX_IGNORES_GATE", "autocommit"), ("delivery", "NO_RECONCILE", "recoveries")],
    ids=["safety", "liveness"],
)
def test_scripts_model__promise_broken__ends_with_1_and_names_the_check(
    folder: Path, model: str, switch: str, check: str
) -> None:
    break_promise(folder, model, switch)
    done = run(folder, check)

    assert done.returncode == 1
    assert re.search(rf"^{check} +FAILED", done.stdout, re.MULTILINE)


def test_scripts_model__switch_without_effect__ends_with_1_and_names_it(folder: Path) -> None:
    path = folder / "docs" / "model" / "delivery.pml"
    path.write_text(path.read_text().replace("#ifdef ACCEPT_IGNORES_GATE", "#if 0"))
    done = run(folder, "ACCEPT_IGNORES_GATE")

    assert done.returncode == 1
    assert "NOT FOUND: I6" in done.stdout
