"""Connections that are kept between requests, on a process that is paused."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import ExitStack

from tests.support.server import ServerProcess
from tests.wire.conftest import TOKEN
from tests.wire.test_queue_change import TIME, Connection, head

# Answered on the connection itself, and by the application: uvicorn has a timer of its own for these.
CALLS = {
    202: head() + TIME,
    401: "PATCH /api/v1/projects/1/ HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\n\r\n{}",
}

# After which the server closes an idle connection.
KEPT_SECONDS = 5.0

# How often it is tried, where the machine does not come to pause it in time.
TRIES = 20


def ask(connection: Connection, status: int) -> None:
    connection.send(CALLS[status])
    assert connection.answer()[0] == status


def test_connection__process_paused_until_after_its_end__what_was_sent_meanwhile_is_answered(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server(SSE_AUTHENTICATION_TOKEN=TOKEN)
    assert any(answers_after_its_pause(server) for _ in range(TRIES)), "this machine is too busy for that"


def answers_after_its_pause(server: ServerProcess) -> bool:
    """Pause it over the end of some connections, and see all of them answered. False if the pause came when the end had
    been already.
    """
    with ExitStack() as stack:
        connections = [(status, stack.enter_context(Connection(server))) for status in CALLS for _ in range(8)]
        began_at = time.monotonic()
        for status, connection in connections:
            ask(connection, status)
        used_at = time.monotonic()
        server.process.send(signal.SIGSTOP)
        os.waitid(os.P_PID, server.process.pid, os.WSTOPPED)
        try:
            if time.monotonic() > began_at + KEPT_SECONDS - 0.1:
                return False
            for status, connection in connections:
                connection.send(CALLS[status])
            time.sleep(max(0.0, used_at + KEPT_SECONDS + 0.1 - time.monotonic()))
        finally:
            server.process.send(signal.SIGCONT)
        for status, connection in connections:
            assert connection.answer()[0] == status
    return True
