"""The queue in front of the evaluation process. The process itself: ``tests/sdk/test_isolation.py``."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from typing import Any

import pytest
from pytest_django import Settings

from evaluation import evaluation_process
from evaluation.evaluation_process import Busy, EvaluationProcess, Lost
from tests.support.patience import PATIENCE


class Here:
    """A child that runs calls in its thread."""

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
    monkeypatch.setattr(evaluation_process, "Child", Here)
    return EvaluationProcess()


@pytest.fixture
def occupied(queue: EvaluationProcess) -> Iterator[threading.Event]:
    """The process runs a call, until this event is set."""
    begun, over = threading.Event(), threading.Event()

    def wait() -> None:
        begun.set()
        over.wait(PATIENCE)

    queue.submit(0, "first", wait)
    assert begun.wait(PATIENCE)
    yield over
    over.set()


def test_evaluation_process__many_calls_of_one_organisation__others_wait_for_one_of_them(
    queue: EvaluationProcess, occupied: threading.Event
) -> None:
    ran: list[str] = []
    results = [
        queue.submit(int(name[0]), name, lambda name=name: ran.append(name))
        for name in ("1a", "1b", "1c", "1d", "2a", "3a", "2b")
    ]
    occupied.set()
    for result in results:
        result.result(PATIENCE)
    assert ran == ["1a", "2a", "3a", "1b", "2b", "1c", "1d"]


def test_evaluation_process__same_key__one_call_whose_result_all_share(
    queue: EvaluationProcess, occupied: threading.Event
) -> None:
    ran: list[int] = []
    results = [queue.submit(1, "same", lambda: ran.append(1) or len(ran)) for _ in range(5)]
    occupied.set()
    assert [result.result(PATIENCE) for result in results] == [1] * 5
    # It is over: whoever asks now gets another one.
    assert queue.submit(1, "same", lambda: ran.append(1) or len(ran)).result(PATIENCE) == 2


def test_evaluation_process__call_that_has_waited_too_long__busy_and_not_run(
    queue: EvaluationProcess, occupied: threading.Event, settings: Settings
) -> None:
    settings.EVALUATION_WAIT_SECONDS = 0.0
    ran: list[int] = []
    late = queue.submit(1, "late", lambda: ran.append(1))
    occupied.set()
    with pytest.raises(Busy):
        late.result(PATIENCE)
    settings.EVALUATION_WAIT_SECONDS = PATIENCE
    assert queue.submit(1, "next", lambda: len(ran)).result(PATIENCE) == 0


def test_evaluation_process__too_many_calls_of_one_organisation__busy_at_once_and_others_are_run(
    queue: EvaluationProcess, occupied: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluation_process, "MOST_WAITING", 3)
    results = [queue.submit(1, name, lambda name=name: name) for name in "abc"]
    with pytest.raises(Busy):
        queue.submit(1, "d", lambda: "d")
    # A call of another organisation, and one that is there already.
    results += [queue.submit(2, "e", lambda: "e"), queue.submit(1, "c", lambda: "never")]
    occupied.set()
    assert [result.result(PATIENCE) for result in results] == ["a", "b", "c", "e", "c"]


def test_evaluation_process__loop_of_a_caller_ends_before_the_result__the_next_calls_are_run(
    queue: EvaluationProcess, occupied: threading.Event
) -> None:
    async def leave() -> None:
        asyncio.wrap_future(queue.submit(1, "left", lambda: "left"))

    # Its tasks and futures are cancelled when it ends.
    asyncio.run(leave())
    shared = queue.submit(1, "left", lambda: "never")
    assert not asyncio.run(_cancelled(shared)).cancelled()
    occupied.set()
    assert shared.result(PATIENCE) == "left"
    assert queue.submit(1, "next", lambda: "next").result(PATIENCE) == "next"


async def _cancelled(result: "Future[Any]") -> "Future[Any]":
    """The future, after one who waited for it in an event loop has gone."""
    asyncio.wrap_future(result).cancel()
    await asyncio.sleep(0)
    return result


def test_evaluation_process__process_lost_during_a_call__that_one_fails_and_the_next_has_a_new_process(
    queue: EvaluationProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Here, "lost", True)
    with pytest.raises(Lost):
        queue.submit(1, "call", lambda: 1).result(PATIENCE)
    monkeypatch.setattr(Here, "lost", False)
    assert queue.submit(1, "call", lambda: 1).result(PATIENCE) == 1
