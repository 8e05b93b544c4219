"""The raising thread and the wrapper of SQL statements, without a Flagsmith. ``tests/flagsmith`` has the rest."""

import queue
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from realtime.flagsmith import raising
from realtime.flagsmith.late_writes import Rewriter
from realtime.flagsmith.raising import RaisingThread
from realtime.flagsmith.visibility import Collected, DeletedSegments, LoggedChange
from tests.support.patience import PATIENCE

Batches = queue.SimpleQueue[list[Collected]]


class DownError(Exception):
    """The database takes nothing."""


@pytest.fixture
def batches(monkeypatch: pytest.MonkeyPatch) -> Batches:
    """The batches that the thread has taken."""
    taken: Batches = queue.SimpleQueue()
    monkeypatch.setattr(raising, "raise_versions", taken.put)
    return taken


@pytest.fixture
def thread() -> Iterator[RaisingThread]:
    thread = RaisingThread()
    yield thread
    thread.worker.stop(PATIENCE)


def changes(*numbers: int) -> list[Collected]:
    return [DeletedSegments((number,)) for number in numbers]


def test_thread__changes_of_one_task__taken_together(thread: RaisingThread, batches: Batches) -> None:
    thread.put(changes(1), gather=True)
    thread.put(changes(2), gather=True)
    assert batches.get(timeout=PATIENCE) == changes(1, 2)


def test_thread__entry_of_the_audit_log__taken_later_than_a_change(thread: RaisingThread, batches: Batches) -> None:
    entry = LoggedChange("entry")
    thread.put([entry, *changes(1)])
    assert batches.get(timeout=PATIENCE) == changes(1)
    assert batches.get(timeout=PATIENCE) == [entry]


def test_thread__process_ends__takes_what_is_delayed(thread: RaisingThread, batches: Batches) -> None:
    entry = LoggedChange("entry")
    thread.put([entry])
    assert thread.worker.stop(PATIENCE)
    assert batches.get_nowait() == [entry]


def test_thread__database_is_down__tries_again_and_logs_once(
    thread: RaisingThread, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    thread.worker.pauses = (0.01, 0.01)
    taken: Batches = queue.SimpleQueue()
    failing = queue.SimpleQueue[bool]()

    def fail_twice(batch: list[Collected]) -> None:
        taken.put(batch)
        failing.put(thread.is_failing)
        if taken.qsize() < 3:
            raise DownError

    monkeypatch.setattr(raising, "raise_versions", fail_twice)

    thread.put(changes(1))

    assert [failing.get(timeout=PATIENCE) for _ in range(3)] == [False, True, True]
    assert thread.worker.stop(PATIENCE)
    assert [taken.get_nowait() for _ in range(3)] == [changes(1)] * 3
    assert not thread.is_failing
    assert sum("versions_not_raised" in record.getMessage() for record in caplog.records) == 1


def test_thread__idle__closes_its_connection_and_takes_the_next_changes(
    thread: RaisingThread, batches: Batches, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = threading.Event()
    monkeypatch.setattr(raising, "IDLE_SECONDS", 0.01)
    monkeypatch.setattr(raising.connections, "close_all", closed.set)
    thread.put(changes(1))
    assert batches.get(timeout=PATIENCE) == changes(1)
    assert closed.wait(PATIENCE)

    thread.put(changes(2))

    assert batches.get(timeout=PATIENCE) == changes(2)


@pytest.mark.parametrize(
    ("statement", "executed"),
    [
        (
            'UPDATE "environments" SET "updated_at" = %s WHERE "id" = %s',
            'UPDATE "environments" SET "updated_at" = GREATEST("environments"."updated_at", %s) WHERE "id" = %s',
        ),
        ('UPDATE "environments" SET "name" = %s WHERE "environments"."id" = %s', None),
        ('UPDATE "features" SET "updated_at" = %s WHERE "features"."id" = %s', None),
        ('SELECT "environments"."updated_at" FROM "environments"', None),
    ],
)
def test_rewriter__statement__version_does_not_fall_and_all_else_is_unchanged(
    statement: str, executed: str | None
) -> None:
    found: list[Any] = []

    def execute(sql: str, params: Any, many: bool, context: Any) -> int:
        found.append((sql, params))
        return 1

    params = (datetime.now(UTC), 1)
    assert Rewriter("environments", "segments")(execute, statement, params, False, {}) == 1
    assert found == [(executed or statement, params)]
