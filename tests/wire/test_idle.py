"""Keep-alive connections of a paused process."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from tests.support.server import ServerProcess
from tests.wire.conftest import TOKEN
from tests.wire.test_queue_change import TIME, Connection, head

pytestmark = pytest.mark.slow

# By status: one with a shortcut, and one by ASGI, for which uvicorn has its own timer.
CALLS = {
    202: head() + TIME,
    401: "PATCH /api/v1/projects/1/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}",
}

# The server's keep-alive timeout.
KEEP_ALIVE_SECONDS = 5.0

# A busy machine may pause the process too late.
ATTEMPTS = 20


def request(connection: Connection, status: int) -> None:
    connection.send(CALLS[status])
    assert connection.answer()[0] == status


def test_connection__process_paused_beyond_its_timeout__requests_sent_meanwhile_get_responses(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server(SSE_AUTHENTICATION_TOKEN=TOKEN)
    assert any(responds_after_a_pause(server) for _ in range(ATTEMPTS)), "the machine is too busy for this test"


def responds_after_a_pause(server: ServerProcess) -> bool:
    """Pause the server beyond the timeout of several connections, and check that all get responses.

    Returns False if the pause began too late.
    """
    with ExitStack() as stack:
        connections = [(status, stack.enter_context(Connection(server))) for status in CALLS for _ in range(8)]
        began_at = time.monotonic()
        for status, connection in connections:
            request(connection, status)
        used_at = time.monotonic()
        server.process.send(signal.SIGSTOP)
        os.waitid(os.P_PID, server.process.pid, os.WSTOPPED)
        try:
            if time.monotonic() > began_at + KEEP_ALIVE_SECONDS - 0.1:
                return False
            for status, connection in connections:
                connection.send(CALLS[status])
            time.sleep(max(0.0, used_at + KEEP_ALIVE_SECONDS + 0.1 - time.monotonic()))
        finally:
            server.process.send(signal.SIGCONT)
        for status, connection in connections:
            assert connection.answer()[0] == status
    return True
