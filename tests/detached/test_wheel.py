"""The wheel, installed in an environment that has nothing else of this project."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.support import ports, programs, sse, wheel
from tests.support.patience import START
from tests.support.processes import Process
from tests.support.server import environ

# Django's own.
COMES_WITH_NAMED = {"asgiref"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of an environment's programs. What the wheel depends on is there as we have pinned it."""
    folder = tmp_path_factory.mktemp("wheel")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / "environment"], check=True)
    python = folder / "environment" / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    subprocess.run([*pip, "install", "--quiet", "--no-deps", "--no-index", wheel.build(folder)], check=True)
    (packages,) = (folder / "environment" / "lib").glob("python3*/site-packages")
    (packages / "ours.pth").write_text(f"{programs.SITE_PACKAGES}\n")
    return python.parent


def test_wheel__installed_alone__documented_command_serves(installed: Path, tmp_path: Path) -> None:
    port = ports.free_port()
    page = (programs.ROOT / "docs" / "plugging-in.md").read_text()
    ((token, documented),) = re.findall(r"^SSE_AUTHENTICATION_TOKEN=(\S+) \S+/bin/(.* serve .*)$", page, re.MULTILINE)
    program, *arguments = documented.split()
    variables = environ(SSE_AUTHENTICATION_TOKEN=token, REALTIME_DRAIN_SECONDS="0")
    process = Process([str(installed / program), *arguments[:-1], str(port)], environ=variables, cwd=tmp_path)
    try:
        process.wait_for_log("Uvicorn running", START)
        with sse.connect(port, "shop") as stream:
            assert stream.status == 200
    finally:
        process.stop()
    assert (tmp_path / "flagsmith-realtime.sqlite3").exists()


def test_wheel__what_its_sources_import__is_what_it_names() -> None:
    project = tomllib.loads((programs.ROOT / "pyproject.toml").read_text())["project"]
    optional = [line for extra in project["optional-dependencies"].values() for line in extra]
    named = {canonical(line) for line in [*project["dependencies"], *optional]}
    distributions = packages_distributions()

    imported = {name for path in (programs.ROOT / "realtime").rglob("*.py") for name in modules(path)}
    foreign = {canonical(distributions[name][0]) for name in imported - sys.stdlib_module_names - {"realtime"}}

    assert {"django", "uvicorn", "redis"} <= foreign <= named | COMES_WITH_NAMED


def modules(path: Path) -> Iterator[str]:
    """The names of the packages that a file imports, anywhere in it."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def canonical(line: str) -> str:
    """The name at the beginning of a requirement."""
    (name,) = re.findall(r"^[\w.-]+", line)
    return str(name).lower().replace("_", "-")
