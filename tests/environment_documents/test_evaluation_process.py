"""The queue of the evaluation process. The process itself is tested by ``tests/sdk/test_isolation.py``."""

import asyncio
import os
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from pytest_django import Settings

from environment_documents import evaluation_process
from environment_documents.evaluation_process import Busy, EvaluationProcess, ProcessLost
from tests.support.patience import PATIENCE


class InThreadWorker:
    """A worker process that runs calls in the calling thread."""

    lost = False

    def is_running(self) -> bool:
        return True

    def call(self, call: Callable[[], Any]) -> tuple[bool, Any]:
        if self.lost:
            raise EOFError
        return True, call()

    def kill(self) -> None:
        pass


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> EvaluationProcess:
    monkeypatch.setattr(evaluation_process, "WorkerProcess", InThreadWorker)
    return EvaluationProcess()


@pytest.fixture
def release_process(queue: EvaluationProcess) -> Iterator[threading.Event]:
    """The process is busy with a call until this event is set."""
    started, released = threading.Event(), threading.Event()

    def wait() -> None:
        started.set()
        released.wait(PATIENCE)

    queue.submit(0, "first", wait)
    assert started.wait(PATIENCE)
    yield released
    released.set()


def test_queue__many_calls_of_one_organisation__organisations_take_turns(
    queue: EvaluationProcess, release_process: threading.Event
) -> None:
    ran: list[str] = []
    results = [
        queue.submit(int(name[0]), name, lambda name=name: ran.append(name))
        for name in ("1a", "1b", "1c", "1d", "2a", "3a", "2b")
    ]
    release_process.set()
    for result in results:
        result.result(PATIENCE)
    assert ran == ["1a", "2a", "3a", "1b", "2b", "1c", "1d"]


def test_queue__equal_keys__one_call_with_a_shared_result(
    queue: EvaluationProcess, release_process: threading.Event
) -> None:
    ran: list[int] = []
    results = [queue.submit(1, "same", lambda: ran.append(1) or len(ran)) for _ in range(5)]
    release_process.set()
    assert [result.result(PATIENCE) for result in results] == [1] * 5
    # The call has ended, so the next one is run.
    assert queue.submit(1, "same", lambda: ran.append(1) or len(ran)).result(PATIENCE) == 2


def test_queue__call_has_waited_too_long__busy_and_not_run(
    queue: EvaluationProcess, release_process: threading.Event, settings: Settings
) -> None:
    settings.EVALUATION_WAIT_SECONDS = 0.0
    ran: list[int] = []
    expired = queue.submit(1, "expired", lambda: ran.append(1))
    release_process.set()
    with pytest.raises(Busy):
        expired.result(PATIENCE)
    settings.EVALUATION_WAIT_SECONDS = PATIENCE
    assert queue.submit(1, "next", lambda: len(ran)).result(PATIENCE) == 0


def test_queue__too_many_calls_of_one_organisation__busy_at_once_and_others_run(
    queue: EvaluationProcess, release_process: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_process, "MAX_QUEUED_CALLS", 3)
    results = [queue.submit(1, name, lambda name=name: name) for name in "abc"]
    with pytest.raises(Busy):
        queue.submit(1, "d", lambda: "d")
    # A call of another organisation, and one that is already queued.
    results += [queue.submit(2, "e", lambda: "e"), queue.submit(1, "c", lambda: "never")]
    release_process.set()
    assert [result.result(PATIENCE) for result in results] == ["a", "b", "c", "e", "c"]


def test_queue__callers_event_loop_ends_before_the_result__next_calls_run(
    queue: EvaluationProcess, release_process: threading.Event
) -> None:
    async def leave() -> None:
        asyncio.wrap_future(queue.submit(1, "left", lambda: "left"))

    # When the loop ends, its tasks and futures are cancelled.
    asyncio.run(leave())
    shared = queue.submit(1, "left", lambda: "never")
    assert not asyncio.run(_with_cancelled_wrapper(shared)).cancelled()
    release_process.set()
    assert shared.result(PATIENCE) == "left"
    assert queue.submit(1, "next", lambda: "next").result(PATIENCE) == "next"


async def _with_cancelled_wrapper(result: "Future[Any]") -> "Future[Any]":
    """The future, after an event loop has cancelled its wrapper."""
    asyncio.wrap_future(result).cancel()
    await asyncio.sleep(0)
    return result


def test_queue__process_lost_during_a_call__call_fails_and_next_gets_a_new_process(
    queue: EvaluationProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(InThreadWorker, "lost", True)
    with pytest.raises(ProcessLost):
        queue.submit(1, "call", lambda: 1).result(PATIENCE)
    monkeypatch.setattr(InThreadWorker, "lost", False)
    assert queue.submit(1, "call", lambda: 1).result(PATIENCE) == 1


def test_queue__process_was_forked__child_runs_its_own_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(evaluation_process, "WorkerProcess", InThreadWorker)
    current = evaluation_process.evaluation_process
    current.forget()
    assert current().submit(1, "call", lambda: 1).result(PATIENCE) == 1
    child = os.fork()
    if not child:
        try:
            os._exit(current().submit(1, "call", lambda: 2).result(PATIENCE))
        finally:
            os._exit(1)
    _, status = os.waitpid(child, 0)
    current.forget()
    assert os.waitstatus_to_exitcode(status) == 2
