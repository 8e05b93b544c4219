"""The files that install the product: they fit together, and what they run runs. (Docker itself is not run here.)"""

import json
import re
import secrets
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from realtime.conf import RealtimeSettings, conf
from realtime.http import drain
from tests.support import ports, programs
from tests.support.nginx import CONFIGURATION
from tests.support.patience import START
from tests.support.processes import Process
from tests.support.server import MigratedPostgreSQL, environ

DEPLOY = programs.ROOT / "deploy"
UNITS = sorted((DEPLOY / "systemd").glob("*.*"))
INSTALLED = "/opt/flagsmith-realtime"

# What docker compose has to be given.
GIVEN = {
    "SECRET_KEY": "",
    "POSTGRES_PASSWORD": "",
    "ALLOWED_HOSTS": "flags.example.com",
    "PUBLIC_URL": "https://flags.example.com",
}

# Seconds of uvicorn's own patience, as ``manage.py serve`` sets it.
UVICORN_SECONDS = 10


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    return [(name.strip(), rest.strip()) for name, rest in lines]


def command(name: str) -> list[str]:
    """The last CMD of this instruction: ``CMD`` or ``HEALTHCHECK``."""
    rest = [rest for instruction, rest in instructions() if instruction == name][-1]
    made: list[str] = json.loads(rest[rest.index("[") :])
    return made


def compose(given: dict[str, str]) -> dict[str, Any]:
    """compose.yaml with these variables in it; one that must be given and is not raises KeyError."""

    def value(match: re.Match[str]) -> str:
        return given.get(match["name"], match["default"]) if match["default"] is not None else given[match["name"]]

    def filled(node: Any) -> Any:
        if isinstance(node, str):
            return re.sub(r"\$\{(?P<name>\w+)(:-(?P<default>[^}]*)|:\?[^}]*)\}", value, node)
        if isinstance(node, dict):
            return {key: filled(inner) for key, inner in node.items()}
        return [filled(inner) for inner in node] if isinstance(node, list) else node

    loaded: dict[str, Any] = filled(yaml.safe_load((DEPLOY / "compose.yaml").read_text()))
    return loaded


def image(folder: Path) -> Path:
    """What ``COPY . /app`` copies: what .dockerignore names with "!", and nothing else."""
    rules = [line for line in (programs.ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in ("", "#")]
    assert rules[0] == "*"
    assert {rule for rule in rules if not rule.startswith("!")} == {"*", "**/__pycache__", "**/*.pyc"}
    for rule in rules:
        source = programs.ROOT / rule[1:]
        if rule.startswith("!") and source.is_dir():
            shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        elif rule.startswith("!"):
            shutil.copy(source, folder / source.name)
    return folder


def test_dockerfile__what_it_copies__is_there() -> None:
    for instruction, rest in instructions():
        if instruction == "COPY" and not rest.startswith("--from"):
            *sources, _ = shlex.split(rest)
            assert all((programs.ROOT / source).exists() for source in sources), rest


def test_dockerfile__the_last_stage__runs_as_nobody_special_and_is_slim() -> None:
    order = [name for name, _ in instructions()]
    assert order.count("FROM") == 2
    assert order.index("USER") < order.index("CMD")
    assert all(rest.split(" AS ")[0].endswith("-slim") for name, rest in instructions() if name == "FROM")


def test_image__started_as_compose_does__migrates_serves_and_is_healthy(
    tmp_path: Path, postgresql_template: MigratedPostgreSQL
) -> None:
    # Given what is in the image, and nothing but the variables of compose.yaml and the Dockerfile
    (tmp_path / "app").mkdir()
    folder = image(tmp_path / "app")
    variables = compose(GIVEN | {"SECRET_KEY": secrets.token_urlsafe(50)})["services"]["server-1"]["environment"]
    variables["DATABASE_URL"] = postgresql_template.copy(tmp_path / "var")["DATABASE_URL"]
    variables |= {"DJANGO_SETTINGS_MODULE": "settings.production", "VAR_DIR": str(tmp_path / "var")}
    surroundings = {**environ(), **variables}
    surroundings.pop("PYTHONPATH", None)
    port = str(ports.free_port())

    def here(arguments: list[str]) -> list[str]:
        assert arguments[0] == "python"
        return [sys.executable, *(argument.replace("8000", port) for argument in arguments[1:])]

    def is_healthy() -> bool:
        check = here(command("HEALTHCHECK"))
        return subprocess.run(check, cwd=folder, env=surroundings, capture_output=True).returncode == 0

    # When
    migrate = here(compose(GIVEN)["services"]["migrate"]["command"])
    subprocess.run(migrate, cwd=folder, env=surroundings, check=True, capture_output=True)
    server = Process(here(command("CMD")), environ=surroundings, cwd=folder)

    # Then
    try:
        server.wait_for_log("Uvicorn running", START)
        # Docker asks again too.
        server.wait_until(is_healthy)
    finally:
        server.kill()
    assert not is_healthy()


@pytest.mark.parametrize("name", GIVEN)
def test_compose__without_what_must_be_given__does_not_start(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        compose({key: value for key, value in GIVEN.items() if key != name})


def test_compose__files_names_and_addresses__are_there_and_agree() -> None:
    services = compose(GIVEN)["services"]
    servers = {name: service for name, service in services.items() if name.startswith("server-")}
    for service in services.values():
        assert set(service.get("depends_on", ())) <= set(services)
        if "build" in service:
            assert (DEPLOY / service["build"]["context"] / service["build"]["dockerfile"]).is_file()
        mounts = [volume.split(":")[0] for volume in service.get("volumes", ()) if volume.startswith(".")]
        assert all((DEPLOY / mount).is_file() for mount in mounts)
    upstream = (DEPLOY / "compose" / "upstream.conf").read_text()
    addresses = [service["networks"]["default"]["ipv4_address"] for service in servers.values()]
    assert re.findall(r"server ([\d.]+):8000", upstream) == addresses
    documented = (programs.ROOT / "docs" / "settings.md").read_text()
    assert [name for name in services["server-1"]["environment"] if f"`{name}`" not in documented] == []


def test_compose__nginx__accepts_its_files(tmp_path: Path) -> None:
    program = programs.require("nginx")
    for file in (CONFIGURATION / "nginx.conf", CONFIGURATION / "locations.conf", *(DEPLOY / "compose").glob("*")):
        text = file.read_text().replace("/run/", f"{tmp_path}/").replace("/var/log/nginx", str(tmp_path))
        (tmp_path / file.name).write_text(text.replace("listen 80 ", f"listen 127.0.0.1:{ports.free_port()} "))
    done = subprocess.run(
        [program, "-t", "-e", str(tmp_path / "log"), "-c", str(tmp_path / "nginx.conf")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_stop__time_that_is_given__is_enough_for_a_drain() -> None:
    longest = conf.DRAIN_SECONDS + drain.GRACE_SECONDS + drain.REQUESTS_SECONDS + UVICORN_SECONDS
    unit = (DEPLOY / "systemd" / "flagsmith-realtime@.service").read_text()
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[1]) > longest  # type: ignore[index]
    period = compose(GIVEN)["services"]["server-1"]["stop_grace_period"]
    assert int(period.removesuffix("s")) > longest


def test_nginx__reload__leaves_old_workers_the_time_until_their_streams_have_ended() -> None:
    text = (CONFIGURATION / "nginx.conf").read_text()
    patience = int(re.search(r"^worker_shutdown_timeout (\d+)s;$", text, re.MULTILINE)[1])  # type: ignore[index]
    assert patience > RealtimeSettings.STREAM_SECONDS.default + conf.SHORT_STREAM_SECONDS


def test_systemd__units__are_understood_and_name_what_is_there(tmp_path: Path) -> None:
    for unit in UNITS:
        text = unit.read_text()
        for path in re.findall(rf"{INSTALLED}/([\w./-]+)", text):
            assert path == ".venv/bin/python" or (programs.ROOT / path).exists(), path
        (tmp_path / unit.name).write_text(text.replace(f"{INSTALLED}/.venv/bin/python", sys.executable))
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed")
    names = [unit.name.replace("@.", "@8001.") for unit in UNITS]
    (tmp_path / "flagsmith-realtime@8001.service").write_text((tmp_path / "flagsmith-realtime@.service").read_text())
    done = subprocess.run([analyze, "verify", "--man=no", *names], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert not [line for line in done.stderr.splitlines() if "flagsmith" in line]
