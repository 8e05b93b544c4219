"""The wheel, installed in an environment without this repository."""

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import pytest
import requests
from packaging.requirements import Requirement

from tests.support import ports, programs, wheel
from tests.support.patience import START
from tests.support.processes import Process
from tests.support.redis import Redis
from tests.support.server import environ

pytestmark = pytest.mark.slow

NAME = "flagsmith-realtime"
INSTALL = "Run: pip install 'flagsmith-realtime[{}]'"

# Imported only in a Flagsmith's own processes; they are installed there.
HOSTS = {"simple_history", "psycopg2"}
# Dependencies of Django and of django-eventstream, in the versions that these need.
INDIRECT = {"asgiref", "django-grip", "gripcontrol"}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment with the wheel and its extras."""
    return wheel.install(tmp_path_factory.mktemp("wheel")).parent


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the programs of an environment with the wheel but not its extras."""
    return wheel.install(tmp_path_factory.mktemp("plain"), extras=False).parent


def commands() -> list[str]:
    """The commands of docs/drop-in.md, without those of Docker and SQL."""
    page = (programs.ROOT / "docs" / "drop-in.md").read_text()
    return [
        line.strip()
        for block in re.findall(r"```sh\n(.*?)```", page, re.DOTALL)
        for line in block.splitlines()
        if line.strip()
    ]


def test_wheel__installed__documented_commands_start_a_server_and_stream_from_it(
    installed: Path, tmp_path: Path
) -> None:
    build, start, url, token, look = commands()
    assert build.startswith("docker build -f deploy/Dockerfile ")
    port = str(ports.free_port())
    with Redis() as redis:
        *variables, program = start.split()
        assert set(variables) == {token, "REDIS_HOST=localhost"}
        given = dict(variable.split("=") for variable in variables)
        process = Process(
            [str(installed / program), f"--port={port}"],
            environ=environ(**given, REDIS_PORT=str(redis.port)),
            cwd=tmp_path,
        )
        try:
            process.wait_for_log("Uvicorn running", START)
            # Flagsmith's own request.
            answer = requests.post(
                f"{url.partition('=')[2]}/sse/environments/ENVIRONMENT_KEY/queue-change".replace(
                    "sse:8000", f"127.0.0.1:{port}"
                ),
                json={"updated_at": "2026-01-01T00:00:00"},
                headers={"Authorization": f"Token {token.partition('=')[2]}"},
                timeout=START,
            )
            assert answer.status_code == 202
            curl = Process(look.replace(":8000", f":{port}").split())
            curl.wait_for_log('data: {"updated_at": 1767225600.000000}')
            curl.kill()
        finally:
            process.stop()
    assert list(tmp_path.iterdir()) == []


EVALUATE = """
from realtime.evaluation import CompiledEnvironment, Identity

feature = {"id": 1, "name": "banner", "type": "STANDARD"}
state = {"feature": feature, "enabled": True, "feature_state_value": "hello", "django_id": 2}
document = {"id": 3, "api_key": "key", "name": "production", "project": {"segments": []}, "feature_states": [state]}
print(CompiledEnvironment(document).identity(Identity("ada"), server_side=False).decode())
"""


def test_wheel__evaluation__without_django_settings(installed: Path, tmp_path: Path) -> None:
    command = [installed / "python", "-c", EVALUATE]
    done = subprocess.run(command, env=environ(), cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr == ""
    body = json.loads(done.stdout)
    assert [(flag["feature"]["name"], flag["feature_state_value"]) for flag in body["flags"]] == [("banner", "hello")]


def test_wheel__documented_extras__exist() -> None:
    page = (programs.ROOT / "docs" / "drop-in.md").read_text()
    (extras,) = re.findall(r"pip install '\.\[(.*?)\]'", page)
    assert set(extras.split(",")) <= set(project()["optional-dependencies"])


@pytest.mark.parametrize(
    "variables, line",
    [
        ({}, f"{NAME}: Not installed: uvicorn, httptools, uvloop. {INSTALL.format('serve')}"),
        (
            {"DATABASE_URL": "postgres://host/name"},
            f"{NAME}: DATABASE_URL cannot be read. Not installed: dj_database_url. {INSTALL.format('serve')}",
        ),
        (
            {"REDIS_URL": "redis://host"},
            f"{NAME}: REDIS_URL cannot be used. Not installed: redis. {INSTALL.format('redis')}",
        ),
    ],
    ids=["server", "database", "redis"],
)
def test_wheel__extra_missing__one_line_that_names_it(
    plain: Path, tmp_path: Path, variables: dict[str, str], line: str
) -> None:
    command = [plain / "flagsmith-realtime", "serve"]
    all_variables = environ(SSE_AUTHENTICATION_TOKEN="t0ken", **variables)
    done = subprocess.run(command, env=all_variables, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", f"{line}\n")


def test_wheel__drop_in_server_on_django_5_0__one_line_that_names_the_version(tmp_path: Path) -> None:
    programs_folder = wheel.install(tmp_path, django="5.0").parent
    command = [programs_folder / "flagsmith-realtime", "serve"]
    done = subprocess.run(command, env=environ(SSE_AUTHENTICATION_TOKEN="t0ken"), capture_output=True, text=True)
    (line,) = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith("flagsmith-realtime: This server needs Django 5.1 or newer, not 5.0.")


@pytest.mark.parametrize("django", ["5.0", "5.1", "5.2"])
def test_wheel__requirements__admit_all_supported_django_versions(django: str) -> None:
    (requirement,) = [line for line in project()["dependencies"] if canonical(line) == "django"]
    assert Requirement(requirement).specifier.contains(f"{django}.1")
    assert {canonical(line) for line in project()["dependencies"]}.isdisjoint(
        {name.replace("_", "-") for name in wheel.OF_EXTRAS}
    )


def test_wheel__imports_of_its_sources__are_its_requirements() -> None:
    optional = [line for extra in project()["optional-dependencies"].values() for line in extra]
    named = {canonical(line) for line in [*project()["dependencies"], *optional]}
    distributions = packages_distributions()

    imported = {name for path in (programs.ROOT / "realtime").rglob("*.py") for name in modules(path)}
    foreign = {canonical(distributions[name][0]) for name in imported - sys.stdlib_module_names - {"realtime", *HOSTS}}

    assert {"django", "uvicorn", "redis"} <= foreign <= named | INDIRECT


def project() -> dict[str, Any]:
    """The table ``project`` of pyproject.toml."""
    described: dict[str, Any] = tomllib.loads((programs.ROOT / "pyproject.toml").read_text())["project"]
    return described


def modules(path: Path) -> Iterator[str]:
    """The names of the packages that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module.partition(".")[0]


def canonical(line: str) -> str:
    """The canonical name of a requirement."""
    (name,) = re.findall(r"^[\w.-]+", line)
    return str(name).lower().replace("_", "-")
