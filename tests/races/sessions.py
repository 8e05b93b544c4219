"""Database sessions that a test controls step by step, each in a thread of its own."""

import queue
import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

from django.db import connections, transaction

from tests.support.patience import PATIENCE


class RolledBackError(Exception):
    pass


class Session:
    """A connection, with its open transaction and savepoints.

    ``levels`` has the environments that were changed in each open transaction or savepoint. ``locked`` are the
    environments that other sessions cannot change before the transaction ends.
    """

    def __init__(self) -> None:
        self.levels: list[set[int]] = []
        self.locked: set[int] = set()
        self._open: list[AbstractContextManager[Any] | str] = []
        self._work: queue.Queue[Callable[[], Any] | None] = queue.Queue()
        self._results: queue.Queue[tuple[Any, BaseException | None]] = queue.Queue()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def do(self, work: Callable[[], Any]) -> Any:
        """Call the function in the session's thread, and wait for its result."""
        self._work.put(work)
        result, error = self._results.get(timeout=PATIENCE)
        if error is not None:
            raise error
        return result

    def enter(self) -> None:
        """Begin a transaction, or a savepoint in it."""

        def begin() -> None:
            block = transaction.atomic()
            block.__enter__()
            self._open.append(block)

        self.do(begin)
        self.levels.append(set())

    def enter_without_hooks(self) -> None:
        """Set a savepoint that Django's commit hooks do not take into account."""
        self.do(lambda: self._open.append(transaction.savepoint()))
        self.levels.append(set())

    def leave(self, keep: bool) -> set[int]:
        """Commit or roll back the innermost level. The environments that a commit of the transaction has changed."""

        def end() -> None:
            block = self._open.pop()
            if isinstance(block, str):
                (transaction.savepoint_commit if keep else transaction.savepoint_rollback)(block)
            elif keep:
                block.__exit__(None, None, None)
            else:
                block.__exit__(RolledBackError, RolledBackError(), None)

        changed = self.levels.pop()
        self.do(end)
        if self.levels:
            self.levels[-1] |= changed if keep else set()
            return set()
        self.locked = set()
        return changed if keep else set()

    def close(self) -> None:
        while self.levels:
            self.leave(keep=False)
        self._work.put(None)
        self._thread.join(PATIENCE)

    def _run(self) -> None:
        while (work := self._work.get()) is not None:
            try:
                self._results.put((work(), None))
            except BaseException as error:
                self._results.put((None, error))
        connections.close_all()
