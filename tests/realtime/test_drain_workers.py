"""The parent of several workers: whom it tells of a signal, and how often. Its workers are played."""

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from unittest import mock

import pytest
import uvicorn

from realtime.http import backlog, servers
from tests.support.patience import PATIENCE


class Worker:
    """Counts how often it is told to end."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.parent_conn = SimpleNamespace(closed=False)
        self.process = self
        self.told = threading.Semaphore(0)

    def terminate(self) -> None:
        self.told.release()

    def is_told(self) -> bool:
        return self.told.acquire(timeout=PATIENCE)

    def is_told_again(self) -> bool:
        return self.told.acquire(blocking=False)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def test_workers__signals__each_is_told_once_and_once_more_by_the_next(
    settings: object, listening: socket.socket
) -> None:
    settings.REALTIME_DRAIN_SECONDS = 60  # type: ignore[attr-defined]
    handlers: dict[int, Callable[..., None]] = {}
    with mock.patch.object(signal, "signal", handlers.__setitem__):
        parent = servers.Workers(uvicorn.Config("no:application", workers=2, log_config=None), [listening])
    first, second, replaced = workers = [Worker(pid) for pid in range(3)]
    # A rolling restart ends it already.
    replaced.parent_conn.closed = True
    parent.processes = workers  # type: ignore[assignment]

    handlers[signal.SIGTERM](signal.SIGTERM, None)
    assert first.is_told()
    assert second.is_told()
    assert parent.should_exit.wait(PATIENCE)
    parent.terminate_all()
    assert not any(worker.is_told_again() for worker in workers)

    with mock.patch.object(backlog, "drop_new_syns") as shut:
        for _ in range(3):
            handlers[signal.SIGINT](signal.SIGINT, None)
            assert all(worker.is_told() for worker in workers)
    shut.assert_called_once_with(listening)
    assert listening.fileno() == -1
