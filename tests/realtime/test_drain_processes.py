"""Shutdown of real processes, with running requests, idle connections, and clients that keep connecting."""

import asyncio
import json
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from functools import partial
from http.client import HTTPConnection, HTTPResponse
from pathlib import Path
from unittest import mock

import pytest
import uvicorn

from realtime.http import backlog, servers
from tests.realtime.clock import DAY, skip
from tests.support import sse
from tests.support.api import AdminAPI, Tenant
from tests.support.callers import PATIENCE, Callers, rest_of
from tests.support.server import Flavour, MigratedSQLite, ServerProcess

pytestmark = pytest.mark.slow

# The time for which a connection without a request is kept at the end, longer than a slow machine needs to send one.
PATIENT = """
import runpy, sys
from realtime.http import protocol
protocol.LAST_HEADERS_SECONDS = 5.0
del sys.argv[0]
runpy.run_path("manage.py", run_name="__main__")
"""


class PatientServer(ServerProcess):
    def _command(self) -> list[str]:
        python, *rest = super()._command()
        return [python, *rest] if self.flavour == "daphne" else [python, "-c", PATIENT, *rest]


def get(connection: HTTPConnection, path: str = "/health/liveness", key: str = "") -> HTTPResponse:
    connection.request("GET", path, headers={"X-Environment-Key": key} if key else {})
    response = connection.getresponse()
    response.read()
    return response


@contextmanager
def request_under_way(server: ServerProcess) -> Iterator[Callable[[], HTTPResponse]]:
    """A request that waits for the database. Yields a function that lets it finish and returns the response."""
    names = {"email": "ada@example.com", "first_name": "Ada", "last_name": "L", "password": "pa55-word-1"}
    database = sqlite3.connect(Path(server.variables["VAR_DIR"]) / "db.sqlite3", isolation_level=None)
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    with closing(database), closing(connection):
        database.execute("BEGIN IMMEDIATE")
        body = json.dumps(names)
        connection.request("POST", "/api/v1/auth/users/", body, {"Content-Type": "application/json"})

        def finish() -> HTTPResponse:
            database.execute("COMMIT")
            return connection.getresponse()

        yield finish


@pytest.mark.parametrize("flavour", ["uvicorn", "daphne"])
def test_sigterm__running_requests_and_idle_connections__none_is_cut_off(
    flavour: Flavour, sqlite_template: MigratedSQLite, tmp_path: Path
) -> None:
    variables = sqlite_template.copy(tmp_path) | {"REALTIME_DRAIN_SECONDS": "1.5"}
    with PatientServer(variables, flavour=flavour) as server:
        check_none_is_cut_off(server)


def check_none_is_cut_off(server: ServerProcess) -> None:
    tenant = Tenant.create(AdminAPI.registered(server.url))
    read = partial(get, path="/api/v1/flags/", key=tenant.environment.key)
    idle, reading = [HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE) for _ in range(2)]
    assert get(idle).getheader("connection") != "close"
    assert read(reading).getheader("connection") != "close"
    stream = sse.connect(server.port, "unknown")
    late = [socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) for _ in range(3)]
    with request_under_way(server) as finish:
        began = time.monotonic()
        server.process.send(signal.SIGTERM)
        server.process.wait_for_log("drain_started")
        callers = Callers(server.port, 2)
        for answer in (get(idle), read(reading)):
            assert (answer.status, answer.getheader("connection")) == (200, "close")
        assert stream.end() is sse.End.CLEAN
        # The streams have ended. A proxy that has not noticed the shutdown still gets responses.
        assert server.get("/health/readiness").status == 503
        assert server.get("/api/v1/flags/").status == 403
        time.sleep(max(0.0, began + 1.7 - time.monotonic()))
        # The server waits ten seconds for the running request, and meanwhile answers the others.
        server.process.wait_until(lambda: callers.answered > 10)
        assert server.process.returncode is None
        assert finish().status == 201
    if server.flavour == "uvicorn":
        check_late_requests_are_answered(server, *late)
        callers.join()
        # Daphne closes its socket immediately, so only uvicorn is checked.
        assert callers.broken == []
    server.process.wait()


def check_late_requests_are_answered(
    server: ServerProcess, asking: socket.socket, streaming: socket.socket, silent: socket.socket
) -> None:
    """Send the first request of established connections after the server has closed its port."""
    server.process.wait_for_log("Waiting for connections to close")
    asking.sendall(b"GET /health/liveness HTTP/1.1\r\nhost: localhost\r\n\r\n")
    streaming.sendall(b"GET /sse/environments/unknown/stream HTTP/1.1\r\nhost: localhost\r\n\r\n")
    answer, stream = rest_of(asking), rest_of(streaming)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"\r\nconnection: close\r\n" in answer
    assert stream.endswith(b"\r\n0\r\n\r\n")
    assert silent.recv(1) == b""


def test_backlog__new_syns_dropped__only_established_connections_are_accepted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        with socket.create_connection(address) as early:
            backlog.drop_new_syns(listening)
            with socket.socket() as late:
                late.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    late.connect(address)
            accepted, _ = listening.accept()
            with accepted:
                early.sendall(b"x")
                assert accepted.recv(1) == b"x"


async def test_server__shutdown__drops_new_connections_before_closing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A late client's SYN is dropped and its retry is refused. It must not be accepted and then reset."""
    monkeypatch.setattr(backlog, "SETTLE_SECONDS", DAY)
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = listening.getsockname()
        server = servers.Server(uvicorn.Config("no:application", log_config=None))
        server.servers = [await asyncio.get_running_loop().create_server(asyncio.Protocol, sock=listening)]
        with mock.patch.object(uvicorn.Server, "shutdown") as closed:
            ending = asyncio.create_task(server.shutdown())
            with socket.socket() as late:
                await asyncio.sleep(0)
                late.settimeout(0.1)
                with pytest.raises(TimeoutError):
                    late.connect(address)
            closed.assert_not_called()
            skip(DAY)
            await asyncio.wait_for(ending, PATIENCE)
            closed.assert_awaited_once()
        server.servers[0].close()


def test_backlog__socket_filter_not_supported__logged(caplog: pytest.LogCaptureFixture) -> None:
    backlog.drop_new_syns(mock.Mock(setsockopt=mock.Mock(side_effect=OSError("not here"))))
    assert "backlog_unfiltered" in caplog.text
