"""Clients whose network is gone, so that the server gets neither a FIN nor a RST."""

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

pytestmark = pytest.mark.slow

CLIENTS = 4


def vanish(client: socket.socket) -> None:
    """Drop all incoming packets of this socket, so that nothing that the server sends is acknowledged."""
    instruction = ctypes.create_string_buffer(struct.pack("HBBI", RETURN, 0, 0, 0))
    program = struct.pack("HL", 1, ctypes.addressof(instruction))
    client.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)


def test_clients__network_gone__streams_closed_within_a_minute_and_others_stay_open(
    sqlite_template: MigratedSQLite, tmp_path: Path
) -> None:
    """With the default timeouts, which are shorter than a stream's age."""
    variables = {"REALTIME_METRICS_TOKEN": TOKEN}
    one = ServerProcess(sqlite_template.copy(tmp_path / "one") | variables)
    two = ServerProcess(sqlite_template.copy(tmp_path / "two") | variables, arguments=("--workers=2",))
    drop_in = DetachedServer(tmp_path, **variables)
    with ExitStack() as stack:
        keys = {}
        for server in (one, two, drop_in):
            stack.enter_context(server)
            keys[server] = "unknown" if server is drop_in else demo_key(server)
        open_streams = {
            server: [stack.enter_context(sse.connect(server.port, key)) for _ in range(1 + CLIENTS)]
            for server, key in keys.items()
        }
        for server, streams in open_streams.items():
            for stream in streams:
                # The opening comment, and the state.
                stream.next_block()
                stream.next_block()
            assert scrape(server.port)["realtime_streams_open"] == 1 + CLIENTS

        for _, *vanished in open_streams.values():
            for stream in vanished:
                vanish(stream.connection)
        vanished_at = time.monotonic()

        for server, (connected, *_) in open_streams.items():
            server.process.wait_until(lambda server=server: scrape(server.port)["realtime_streams_open"] == 1)
            assert time.monotonic() - vanished_at < 60
            assert connected.next_comment().data
            assert connected.ended is None
        for server in (one, two):
            server.process.wait_until(lambda server=server: shown_streams(server, keys[server]) == 1)


def demo_key(server: ServerProcess) -> str:
    key: str = json.loads(server.manage("seed_demo", "--json"))["environments"][0]["api_key"]
    return key


def shown_streams(server: ServerProcess, key: str) -> int:
    """The number of streams that the inspector shows."""
    shown: int = json.loads(server.manage("inspect_environment", key, "--json"))["streams"]
    return shown


def test_notice_vanished__option_not_supported__logged_or_skipped(
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
