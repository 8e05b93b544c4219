"""``Sharing`` and the threads of the storage, when the storage fails."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from realtime.relay.directory import Directory
from realtime.relay.sharing import Sharing
from realtime.relay.storage import Held, StorageError, microseconds
from realtime.relay.storage_threads import StorageThreads
from realtime.types import EnvironmentKey
from tests.support.patience import PATIENCE
from tests.support.upstream import START

KEY = EnvironmentKey("shop")


class Failing(Directory):
    """A directory that raises this error when it is written."""

    error: Exception | None = None

    def hold(self, held: Held, *, is_all: bool) -> None:
        if self.error is not None:
            raise self.error
        super().hold(held, is_all=is_all)

    def claim(self, name: str, seconds: float) -> bool:
        if isinstance(self.error, StorageError):
            raise self.error
        return super().claim(name, seconds)


@pytest.mark.parametrize(
    "error", [lambda: StorageError("no space left"), lambda: ValueError("another program has written to it")]
)
async def test_all_hold__storage_fails__returns_at_once_and_works_again_later(
    tmp_path: Path, error: Callable[[], Exception]
) -> None:
    storage, other = Failing(tmp_path), Directory(tmp_path)
    other.hold({KEY: 0}, is_all=True)
    in_storage = StorageThreads(storage)
    sharing = Sharing(storage, in_storage, lambda: {KEY: START})
    running = asyncio.create_task(sharing.run())

    storage.error = error()
    await asyncio.wait_for(sharing.all_hold(KEY, START), PATIENCE)
    assert await in_storage.probe() is not isinstance(storage.error, StorageError)

    storage.error = None
    assert await in_storage.probe()
    waiting = asyncio.create_task(sharing.all_hold(KEY, START))
    await asyncio.wait([waiting], timeout=0.1)
    assert not waiting.done()
    other.hold({KEY: microseconds(START)}, is_all=False)
    await asyncio.wait_for(waiting, PATIENCE)
    running.cancel()
    in_storage.close()
