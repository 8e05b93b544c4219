"""The parent of several workers: which of them it terminates at a signal, and how often. The workers are fakes."""

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
    """A fake worker process, which counts calls of ``terminate``."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.parent_conn = SimpleNamespace(closed=False)
        self.process = self
        self.terminations = threading.Semaphore(0)

    def terminate(self) -> None:
        self.terminations.release()

    def is_terminated(self) -> bool:
        return self.terminations.acquire(timeout=PATIENCE)

    def is_terminated_again(self) -> bool:
        return self.terminations.acquire(blocking=False)


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield listening


def test_workers__repeated_signals__each_worker_is_terminated_once_per_signal(
    settings: object, listening: socket.socket
) -> None:
    settings.REALTIME_DRAIN_SECONDS = 60  # type: ignore[attr-defined]
    handlers: dict[int, Callable[..., None]] = {}
    with mock.patch.object(signal, "signal", handlers.__setitem__):
        parent = servers.Workers(uvicorn.Config("no:application", workers=2, log_config=None), [listening])
    first, second, replaced = workers = [Worker(pid) for pid in range(3)]
    # A rolling restart is already ending this one.
    replaced.parent_conn.closed = True
    parent.processes = workers  # type: ignore[assignment]

    handlers[signal.SIGTERM](signal.SIGTERM, None)
    assert first.is_terminated()
    assert second.is_terminated()
    assert parent.should_exit.wait(PATIENCE)
    parent.terminate_all()
    assert not any(worker.is_terminated_again() for worker in workers)

    with mock.patch.object(backlog, "drop_new_syns") as shut:
        for _ in range(3):
            handlers[signal.SIGINT](signal.SIGINT, None)
            assert all(worker.is_terminated() for worker in workers)
    shut.assert_called_once_with(listening)
    assert listening.fileno() == -1
