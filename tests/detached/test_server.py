"""The drop-in server: it needs no project, and stores posted versions in its own table."""

import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing
from decimal import Decimal
from pathlib import Path

import pytest
import requests

from tests.support import programs, sse
from tests.support.detached import TOKEN, DetachedServer
from tests.support.patience import PATIENCE
from tests.support.postgresql import PostgreSQL
from tests.support.server import environ

OLD_TOKEN = "old-t0ken"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DetachedServer]:
    tokens = f"{OLD_TOKEN}, {TOKEN}"
    with DetachedServer(tmp_path_factory.mktemp("detached"), SSE_AUTHENTICATION_TOKEN=tokens) as server:
        yield server


def post(server: DetachedServer, key: str, updated_at: str, token: str = TOKEN, slashes: str = "/") -> int:
    answer = requests.post(
        f"{server.url}{slashes}sse/environments/{key}/queue-change",
        json={"updated_at": updated_at},
        headers={"Authorization": f"Token {token}"},
        timeout=PATIENCE,
    )
    return answer.status_code


def test_detached__posted_out_of_order_then_killed__newest_versions_are_kept(server: DetachedServer) -> None:
    with sse.connect(server.port, "shop") as stream:
        assert post(server, "shop", "2026-01-01T00:00:02.000001+00:00") == 202
        assert stream.next_event().updated_at == Decimal("1767225602.000001")
        assert post(server, "shop", "2026-01-01T00:00:01", OLD_TOKEN) == 202
        assert post(server, "blog", "2026-01-01T00:00:03", "wrong") == 401

    server.process.kill()
    server.start()

    with sse.connect(server.port, "shop") as stream:
        assert stream.next_event().updated_at == Decimal("1767225602.000001")
    with sse.connect(server.port, "blog") as stream:
        # On a slow machine, a comment that the state cannot be read yet may precede it.
        unposted = b"nothing has been posted for this key yet; what is posted will be sent"
        while unposted not in stream.next_comment().data:
            pass
        assert post(server, "blog", "2026-01-01T00:00:03") == 202
        assert stream.next_event().updated_at == 1767225603


@pytest.mark.parametrize("slashes", ["//", "///"])
def test_detached__sse_server_base_url_with_a_slash__posts_are_accepted(server: DetachedServer, slashes: str) -> None:
    with sse.connect(server.port, f"slashes-{len(slashes)}") as stream:
        assert post(server, f"slashes-{len(slashes)}", "2026-01-01T00:00:03", "wrong", slashes) == 401
        assert post(server, f"slashes-{len(slashes)}", "2026-01-01T00:00:03", slashes=slashes) == 202
        assert stream.next_event().updated_at == 1767225603


def test_detached__running__has_only_its_own_tables(server: DetachedServer) -> None:
    with closing(sqlite3.connect(Path(server.variables["VAR_DIR"]) / "flagsmith-realtime.sqlite3")) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    # sqlite_sequence is SQLite's own.
    assert tables == {"realtime_externalenvironment", "django_migrations", "sqlite_sequence"}


@pytest.mark.parametrize(
    "path, status",
    [
        ("/health/liveness", 200),
        # Flagsmith's Helm chart requests this.
        ("/health/liveness/", 200),
        ("/health/readiness", 200),
        ("/health/readiness/", 200),
        ("/health", 200),
        ("/health/", 200),
        ("/metrics", 404),
        ("/api/v1/flags/", 404),
        ("//health/liveness", 404),
    ],
)
def test_detached__other_paths__health_only(server: DetachedServer, path: str, status: int) -> None:
    assert server.get(path).status == status


@pytest.mark.slow
def test_detached__concurrent_starts_on_one_database__share_it(postgresql: PostgreSQL, tmp_path: Path) -> None:
    url = postgresql.url(postgresql.create_database())
    one, other = (DetachedServer(tmp_path, DATABASE_URL=url) for _ in range(2))
    with ExitStack() as stack:
        one.launch()
        stack.callback(one.process.kill)
        stack.enter_context(other)
        one.wait()
        with sse.connect(other.port, "shop") as stream:
            stream.next_comment()
            assert post(one, "shop", "2026-01-01T00:00:00") == 202
            assert stream.next_event().updated_at == 1767225600


def command(*arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "realtime.detached", *arguments],
        cwd=programs.ROOT,
        env=environ(**variables),
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("token", ["", " , "])
def test_detached__no_token__one_line_with_the_reason(token: str) -> None:
    done = command("serve", SSE_AUTHENTICATION_TOKEN=token)

    assert done.returncode == 1
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("flagsmith-realtime: SSE_AUTHENTICATION_TOKEN must be set")


def test_detached__database_away__last_line_has_the_reason(tmp_path: Path) -> None:
    done = command("serve", SSE_AUTHENTICATION_TOKEN=TOKEN, VAR_DIR=str(tmp_path / "nowhere"))

    assert done.returncode == 1
    # The lines before it say which store and bus the configuration selects.
    *_, line = done.stderr.splitlines()
    file = tmp_path / "nowhere" / "flagsmith-realtime.sqlite3"
    assert line.startswith(f"flagsmith-realtime: {file} cannot be used (unable to open database file).")


def test_detached__other_commands__run_with_its_settings(tmp_path: Path) -> None:
    done = command("check", SSE_AUTHENTICATION_TOKEN=TOKEN, VAR_DIR=str(tmp_path), REDIS_URL="redis://127.0.0.1:1/0")

    assert "no issues" in done.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("arguments", [("serve", "--help"), ("serve", "-h")])
def test_detached__help__needs_no_token(arguments: tuple[str, ...], tmp_path: Path) -> None:
    done = command(*arguments, VAR_DIR=str(tmp_path))

    assert done.returncode == 0
    assert "--workers" in done.stdout
    assert list(tmp_path.iterdir()) == []


class PlainServer(DetachedServer):
    """The drop-in server, started without the name of its command and without a host."""

    def _command(self) -> list[str]:
        return [sys.executable, "-m", "realtime.detached", f"--port={self.port}"]


def test_detached__no_command_and_no_host__serves_on_all_interfaces_and_ends_at_once(tmp_path: Path) -> None:
    with PlainServer(tmp_path, REALTIME_DRAIN_SECONDS="600") as server:
        # A server of 127.0.0.1 alone does not listen here.
        socket.create_connection(("127.0.0.2", server.port), timeout=PATIENCE).close()
        assert server.stop() == 0
        assert "drain_finished" in server.log


def test_detached__endless_body_on_another_path__response_without_reading_it(server: DetachedServer) -> None:
    """Django would buffer all of it before its response."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as connection:
        head = b"POST /nowhere HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000000000\r\n\r\n"
        connection.sendall(head + b"a" * 65_536)
        assert connection.recv(12) == b"HTTP/1.1 404"


@pytest.mark.parametrize(
    "variables, warned",
    [
        ({}, False),
        ({"KUBERNETES_SERVICE_HOST": "10.0.0.1"}, True),
        ({"REDIS_URL": "redis://127.0.0.1:1/0", "REALTIME_STORE": "database"}, True),
    ],
    ids=["one process", "Kubernetes", "Redis as bus"],
)
def test_detached__sqlite_file_that_replicas_do_not_share__warning_at_start(
    tmp_path: Path, variables: dict[str, str], warned: bool
) -> None:
    # With an invalid port it ends after these lines.
    done = command("serve", "--port=0", SSE_AUTHENTICATION_TOKEN=TOKEN, VAR_DIR=str(tmp_path), **variables)

    assert "store_is_sqlite" in done.stderr
    assert ("store_is_not_shared" in done.stderr) is warned


def test_detached__variables_without_effect__one_line_each(tmp_path: Path) -> None:
    given = {"STREAM_DELAY": "1", "REDIS_SCAN_COUNT": "500"}
    done = command("serve", "--port=0", SSE_AUTHENTICATION_TOKEN=TOKEN, VAR_DIR=str(tmp_path), **given)

    for name in given:
        (line,) = [line for line in done.stderr.splitlines() if name in line]
        assert "variable_has_no_effect" in line


@pytest.mark.parametrize(
    "variables, message",
    [
        ({"REALTIME_STORE": "pigeon"}, "REALTIME_STORE must be one of"),
        ({"REALTIME_STORE": "redis"}, "no Redis is configured"),
        ({"REDIS_URL": "redis://127.0.0.1:1/0", "REALTIME_INSPECTION": "true"}, "REALTIME_INSPECTION needs a database"),
    ],
    ids=["unknown store", "store without Redis", "inspector without a database"],
)
def test_detached__store_that_cannot_be_used__message_at_start(
    tmp_path: Path, variables: dict[str, str], message: str
) -> None:
    done = command("serve", "--port=0", SSE_AUTHENTICATION_TOKEN=TOKEN, VAR_DIR=str(tmp_path), **variables)

    assert done.returncode != 0
    assert message in done.stderr
