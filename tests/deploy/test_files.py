"""The deployment files: they are consistent, and their commands work. Docker itself is not run."""

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

# Required variables of compose.yaml.
REQUIRED = {
    "SECRET_KEY": "",
    "POSTGRES_PASSWORD": "",
    "ALLOWED_HOSTS": "flags.example.com",
    "PUBLIC_URL": "https://flags.example.com",
}

# timeout_graceful_shutdown in ``manage.py serve``.
UVICORN_SECONDS = 10


def instructions() -> list[tuple[str, str]]:
    """The instructions of the Dockerfile."""
    text = (DEPLOY / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line.split(maxsplit=1) for line in text.splitlines() if line and not line.startswith("#")]
    return [(name.strip(), rest.strip()) for name, rest in lines]


def command(name: str) -> list[str]:
    """The command of the last ``CMD`` or ``HEALTHCHECK`` instruction."""
    rest = [rest for instruction, rest in instructions() if instruction == name][-1]
    arguments: list[str] = json.loads(rest[rest.index("[") :])
    return arguments


def compose(variables: dict[str, str]) -> dict[str, Any]:
    """compose.yaml with these variables. Raises KeyError if a required one is missing."""

    def value(match: re.Match[str]) -> str:
        return (
            variables.get(match["name"], match["default"]) if match["default"] is not None else variables[match["name"]]
        )

    def filled(node: Any) -> Any:
        if isinstance(node, str):
            return re.sub(r"\$\{(?P<name>\w+)(:-(?P<default>[^}]*)|:\?[^}]*)\}", value, node)
        if isinstance(node, dict):
            return {key: filled(inner) for key, inner in node.items()}
        return [filled(inner) for inner in node] if isinstance(node, list) else node

    loaded: dict[str, Any] = filled(yaml.safe_load((DEPLOY / "compose.yaml").read_text()))
    return loaded


def image(folder: Path) -> Path:
    """Create the image's folder: the files that .dockerignore includes by "!"."""
    rules = [line for line in (programs.ROOT / ".dockerignore").read_text().splitlines() if line[:1] not in ("", "#")]
    assert rules[0] == "*"
    assert {rule for rule in rules if not rule.startswith("!")} == {"*", "**/__pycache__", "**/*.pyc"}
    for rule in rules:
        source = programs.ROOT / rule[1:]
        if rule.startswith("!deploy/"):
            (folder / "deploy").mkdir(exist_ok=True)
            shutil.copy(source, folder / "deploy")
        elif rule.startswith("!") and source.is_dir():
            shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
        elif rule.startswith("!"):
            shutil.copy(source, folder / source.name)
    return folder


def test_dockerfile__copied_files__exist() -> None:
    for instruction, rest in instructions():
        if instruction == "COPY" and not rest.startswith("--from"):
            *sources, _ = shlex.split(rest)
            assert all((programs.ROOT / source).exists() for source in sources), rest


def test_dockerfile__last_stage__unprivileged_user_and_slim_image() -> None:
    order = [name for name, _ in instructions()]
    assert order.count("FROM") == 2
    assert order.index("USER") < order.index("CMD")
    assert all(rest.split(" AS ")[0].endswith("-slim") for name, rest in instructions() if name == "FROM")


@pytest.mark.slow
def test_image__started_as_by_compose__migrates_serves_and_is_healthy(
    tmp_path: Path, postgresql_template: MigratedPostgreSQL
) -> None:
    # Given the image's files, and only the variables of compose.yaml and the Dockerfile
    (tmp_path / "app").mkdir()
    folder = image(tmp_path / "app")
    variables = compose(REQUIRED | {"SECRET_KEY": secrets.token_urlsafe(50)})["services"]["server-1"]["environment"]
    variables["DATABASE_URL"] = postgresql_template.copy(tmp_path / "var")["DATABASE_URL"]
    variables |= {"DJANGO_SETTINGS_MODULE": "settings.production", "VAR_DIR": str(tmp_path / "var")}
    process_environ = {**environ(), **variables}
    process_environ.pop("PYTHONPATH", None)
    port = str(ports.free_port())

    def here(arguments: list[str]) -> list[str]:
        """The command of the image's entry point, in this environment."""
        arguments = [argument.replace("8000", port) for argument in arguments]
        if arguments[0] == "python":
            return [sys.executable, *arguments[1:]]
        assert arguments[0] == "product"
        serve = ["serve", "--host", "0.0.0.0", "--port", port]
        return [sys.executable, "manage.py", *(arguments[1:] or serve)]

    def is_healthy() -> bool:
        check = here(command("HEALTHCHECK"))
        return subprocess.run(check, cwd=folder, env=process_environ, capture_output=True).returncode == 0

    # When
    services = compose(REQUIRED)["services"]
    migrate = here(services["migrate"]["command"])
    subprocess.run(migrate, cwd=folder, env=process_environ, check=True, capture_output=True)
    server = Process(here(services["server-1"]["command"]), environ=process_environ, cwd=folder)

    # Then
    try:
        server.wait_for_log("Uvicorn running", START)
        # Docker repeats the check as well.
        server.wait_until(is_healthy)
    finally:
        server.kill()
    assert not is_healthy()


@pytest.mark.parametrize("name", REQUIRED)
def test_compose__required_variable_missing__error_names_it(name: str) -> None:
    with pytest.raises(KeyError, match=name):
        compose({key: value for key, value in REQUIRED.items() if key != name})


def test_compose__files_names_and_addresses__exist_and_match() -> None:
    services = compose(REQUIRED)["services"]
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


def test_compose__nginx_files__are_valid(tmp_path: Path) -> None:
    program = programs.require("nginx")
    for file in (CONFIGURATION / "nginx.conf", CONFIGURATION / "locations.conf", *(DEPLOY / "compose").glob("*")):
        text = file.read_text().replace("/run/", f"{tmp_path}/").replace("/var/log/nginx", str(tmp_path))
        (tmp_path / file.name).write_text(text.replace("listen 80 ", f"listen 127.0.0.1:{ports.free_port()} "))
    done = subprocess.run(
        [program, "-t", "-e", str(tmp_path / "log"), "-c", str(tmp_path / "nginx.conf")], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_stop__timeouts__are_longer_than_a_drain() -> None:
    longest = conf.DRAIN_SECONDS + drain.GRACE_SECONDS + drain.REQUESTS_SECONDS + UVICORN_SECONDS
    unit = (DEPLOY / "systemd" / "flagsmith-realtime@.service").read_text()
    assert int(re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE)[1]) > longest  # type: ignore[index]
    period = compose(REQUIRED)["services"]["server-1"]["stop_grace_period"]
    assert int(period.removesuffix("s")) > longest


def test_nginx__reload__old_workers_outlast_their_streams() -> None:
    text = (CONFIGURATION / "nginx.conf").read_text()
    timeout = int(re.search(r"^worker_shutdown_timeout (\d+)s;$", text, re.MULTILINE)[1])  # type: ignore[index]
    assert timeout > RealtimeSettings.STREAM_SECONDS.default + conf.SHORT_STREAM_SECONDS


def test_systemd__units__are_valid_and_name_existing_files(tmp_path: Path) -> None:
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
