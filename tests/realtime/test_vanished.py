"""Clients whose network is gone: neither an end nor a reset tells the server of it."""

import ctypes
import json
import socket
import struct
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from realtime.http import servers
from realtime.http.backlog import RETURN, SO_ATTACH_FILTER
from tests.metrics.scraped import TOKEN, scrape
from tests.support import sse
from tests.support.detached import DetachedServer
from tests.support.server import MigratedSQLite, ServerProcess

CLIENTS = 4


def vanish(client: socket.socket) -> None:
    """Drop every packet that comes for this socket from now on: nothing that the server sends is acknowledged."""
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", RETURN, 0, 0, 0))
    program = struct.pack("HL", 1, ctypes.addressof(instruction))
    client.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def test_clients__whose_network_is_gone__are_noticed_within_a_minute_and_others_stay(
    sqlite_template: MigratedSQLite, tmp_path: Path
) -> None:
    """With the defaults of everything that has to do with time, except that no stream ends of age meanwhile."""
    variables = {"REALTIME_METRICS_TOKEN": TOKEN}
    one = ServerProcess(sqlite_template.copy(tmp_path / "one") | variables)
    two = ServerProcess(sqlite_template.copy(tmp_path / "two") | variables, arguments=("--workers=2",))
    drop_in = DetachedServer(tmp_path, **variables)
    with ExitStack() as stack:
        keys = {}
        for server in (one, two, drop_in):
            stack.enter_context(server)
            keys[server] = "nobody" if server is drop_in else demo_key(server)
        open_streams = {
            server: [stack.enter_context(sse.connect(server.port, key)) for _ in range(1 + CLIENTS)]
            for server, key in keys.items()
        }
        for server, streams in open_streams.items():
            for stream in streams:
                # The opening, and what the state is.
                stream.next_block()
                stream.next_block()
            assert scrape(server.port)["realtime_streams_open"] == 1 + CLIENTS

        for _, *gone in open_streams.values():
            for stream in gone:
                vanish(stream.connection)
        vanished_at = time.monotonic()

        for server, (stays, *_) in open_streams.items():
            server.process.wait_until(lambda server=server: scrape(server.port)["realtime_streams_open"] == 1)
            assert time.monotonic() - vanished_at < 60
            assert stays.next_comment().data
            assert stays.ended is None
        for server in (one, two):
            server.process.wait_until(lambda server=server: shown_streams(server, keys[server]) == 1)


def demo_key(server: ServerProcess) -> str:
    key: str = json.loads(server.manage("seed_demo", "--json"))["environments"][0]["api_key"]
    return key


def shown_streams(server: ServerProcess, key: str) -> int:
    """How many the inspector shows."""
    shown: int = json.loads(server.manage("inspect_environment", key, "--json"))["streams"]
    return shown


def test_notice_vanished__system_without_the_option_or_a_socket_that_refuses_it__changes_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refusing = socket.socket()
    refusing.close()
    with capture_logs() as logs:
        servers.set_user_timeout(refusing)
    assert [line["event"] for line in logs] == ["user_timeout_not_set"]
    monkeypatch.delattr(socket, "TCP_USER_TIMEOUT")
    with socket.socket() as listening:
        servers.set_user_timeout(listening)
