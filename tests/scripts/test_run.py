"""``scripts/run`` in a copy of the project: the first start, later starts, and errors."""

import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.support import ports, programs
from tests.support.patience import FIRST_START, PATIENCE
from tests.support.processes import Process
from tests.support.server import environ

# The first test creates a virtual environment, which the others use.
pytestmark = [pytest.mark.timeout(FIRST_START + 300), pytest.mark.slow]


class Copy:
    """A copy of the project's files, without generated ones."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.account: dict[str, Any] = {}
        listed = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=programs.ROOT,
            check=True,
            capture_output=True,
            text=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (programs.ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(programs.ROOT / name, folder / name)

    def has_python_and_no_pip(self) -> bool:
        """Whether the virtual environment is half-made: the worst moment for a kill or a concurrent start."""
        environment = self.folder / ".venv"
        return (environment / "bin" / "python3").exists() and not (environment / "bin" / "pip").exists()

    @contextmanager
    def started(self, **variables: str) -> Iterator[tuple[Process, int]]:
        """Start it on a free port."""
        port = ports.free_port()
        # Faster: most of the installed modules are never imported.
        variables |= {"PORT": str(port), "PIP_NO_COMPILE": "1", "REALTIME_DRAIN_SECONDS": "0"}
        process = Process(["scripts/run"], environ=environ(**variables), cwd=self.folder)
        try:
            yield process, port
        finally:
            process.stop()

    @contextmanager
    def running(self, **variables: str) -> Iterator[tuple[Process, int]]:
        """Run it on a free port, and wait until it serves."""
        with self.started(**variables) as (process, port):
            process.wait_until(lambda: "Uvicorn running" in process.log, FIRST_START)
            yield process, port

    def error(self, **variables: str) -> str:
        """Run it with a configuration that fails, and return its one line of output. The exit status must be 1."""
        variables.setdefault("PORT", str(ports.free_port()))
        done = subprocess.run(
            ["scripts/run"],
            cwd=self.folder,
            env=environ(**variables),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            **self.account,
        )
        assert done.returncode == 1, done
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        return line


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """A copy without any earlier start."""
    return Copy(tmp_path_factory.mktemp("fresh"))


@pytest.fixture(scope="module")
def first_starts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Copy, str, str]:
    """A copy after a killed start and two concurrent ones, and their outputs, whose curl lines work."""
    copy = Copy(tmp_path_factory.mktemp("started"))
    with copy.started() as (killed, _):
        killed.wait_until(copy.has_python_and_no_pip, FIRST_START)
        killed.kill()
    with copy.started() as (first, port):
        first.wait_for_log("Making the virtual environment")
        first.wait_until(copy.has_python_and_no_pip, FIRST_START)
        with copy.running() as (second, other_port):
            first.wait_until(lambda: "Uvicorn running" in first.log, FIRST_START)
            logs = first.log, second.log
            for log in logs:
                assert "event: environment_updated" in follow(curl_line(log))
            for each in (port, other_port):
                assert requests.get(f"http://127.0.0.1:{each}/api/v1/docs/", timeout=PATIENCE).ok
    return copy, *logs


@pytest.fixture(scope="module")
def first_start(first_starts: tuple[Copy, str, str]) -> tuple[Copy, str]:
    """The copy, and the output of the first of the starts."""
    copy, first, _ = first_starts
    return copy, first


def curl_line(log: str) -> str:
    (line,) = re.findall(r"curl -N http://\S+", log)
    return str(line)


def follow(command: str) -> str:
    """The command's output until its first event is complete."""
    process = Process(command.split())
    try:
        process.wait_for_log("data: ")
        return process.log
    finally:
        process.kill()


def test_run__from_nothing__streams_and_prints_the_credentials(first_start: tuple[Copy, str]) -> None:
    _, log = first_start

    assert "/api/v1/docs/" in log
    assert re.search(r"E-mail: +demo@example.com", log)
    assert re.search(r"Password: +\S{12,}\n", log)


def test_run__twice_at_once_from_nothing__one_prepares_and_the_other_waits(first_starts: tuple[Copy, str, str]) -> None:
    _, first, second = first_starts

    assert "Installing requirements.txt" in first
    assert "Waiting for another script that prepares this folder" in second
    assert "Installing" not in second
    assert curl_line(first).partition("/sse/")[2] == curl_line(second).partition("/sse/")[2]


def test_run__second_start__installs_nothing_and_keeps_the_data(first_start: tuple[Copy, str]) -> None:
    copy, first_log = first_start

    with copy.running() as (process, _):
        again = process.log
        streamed = follow(curl_line(again))

    assert "Installing" not in again
    assert curl_line(again).partition("/sse/")[2] == curl_line(first_log).partition("/sse/")[2]
    assert "event: environment_updated" in streamed
    (password,) = re.findall(r"Password: +(\S{12,})\n", first_log)
    assert password not in again


def test_run__requirements_changed__installs_them(first_start: tuple[Copy, str]) -> None:
    copy, _ = first_start
    with (copy.folder / "requirements.txt").open("a") as file:
        file.write("# one more line\n")

    with copy.running() as (process, _):
        assert "Installing requirements.txt" in process.log


def test_run__database_that_cannot_be_used__one_line_with_the_reason(
    first_start: tuple[Copy, str], tmp_path: Path
) -> None:
    copy, _ = first_start
    (tmp_path / "db.sqlite3").write_bytes(b"\x01" * 20_000)

    assert f"{tmp_path}/db.sqlite3 is damaged" in copy.error(VAR_DIR=str(tmp_path))
    away = f"postgres://127.0.0.1:{ports.free_port()}/flags"
    assert "Check DATABASE_URL" in copy.error(VAR_DIR=str(tmp_path), DATABASE_URL=away)


def test_run__port_is_taken__one_line_that_names_it(fresh: Copy) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert f"cannot listen on 127.0.0.1:{port}" in fresh.error(PORT=str(port))


@pytest.mark.parametrize(
    ("argument", "status", "output"), [("--help", 0, "PORT (8000)"), ("--port", 1, "no arguments")]
)
def test_run__arguments__help_or_an_error_and_nothing_is_started(
    fresh: Copy, argument: str, status: int, output: str
) -> None:
    command = ["scripts/run", argument]
    done = subprocess.run(command, cwd=fresh.folder, env=environ(), capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == status
    assert output in done.stdout + done.stderr


def test_run__data_folder_cannot_be_made__one_line_that_names_it(fresh: Copy, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    assert f"cannot write to the folder {tmp_path}/file/var" in fresh.error(VAR_DIR=str(tmp_path / "file" / "var"))


@pytest.fixture
def old_python(tmp_path: Path) -> Path:
    """A script that reports the version of Python 3.10."""
    path = tmp_path / "bin" / "python3"
    path.parent.mkdir()
    path.write_text('#!/bin/sh\ncase "$2" in *version_info*) exit 1 ;; *) echo 3.10.13 ;; esac\n')
    path.chmod(0o755)
    return path


def test_run__named_python_is_too_old__one_line_with_its_version(fresh: Copy, old_python: Path) -> None:
    line = fresh.error(PYTHON=str(old_python))

    assert "Python 3.11 or newer is needed" in line
    assert "3.10.13" in line
