"""The runtime of an event loop: its parts, their end, and the start of a server."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from realtime import runtime


def closing(closed: list[str], name: str, fails: bool = False) -> Callable[[], Awaitable[None]]:
    async def close() -> None:
        closed.append(name)
        if fails:
            raise RuntimeError(name)

    return close


class Engine:
    """A part that others need."""


class Car:
    """A part that needs another one."""

    def __init__(self) -> None:
        self.engine = runtime.current().get(Engine)


async def test_get__twice__same_part_until_the_runtime_is_closed(closed_runtime: None) -> None:
    car = runtime.current().get(Car)
    assert runtime.current().get(Car) is car
    assert runtime.current().get(Engine) is car.engine
    await runtime.current().close()
    assert runtime.current().get(Car) is not car


async def test_close__several_parts__newest_first_and_all_although_one_fails() -> None:
    closed: list[str] = []
    for name in ("first", "second", "third"):
        runtime.current().on_close(closing(closed, name, fails=name == "second"))
    with pytest.raises(RuntimeError, match="second"):
        await runtime.current().close()
    assert closed == ["third", "second", "first"]


async def test_close__part_is_used_meanwhile__still_the_same(closed_runtime: None) -> None:
    found: list[Engine] = []

    async def close() -> None:
        found.append(runtime.current().get(Engine))

    engine = runtime.current().get(Engine)
    runtime.current().on_close(close)
    await runtime.current().close()
    assert found == [engine]


async def test_start__called_again__starts_once(closed_runtime: None) -> None:
    started: list[str] = []
    for _ in range(2):
        await runtime.current().start(closing(started, "server"))
    assert started == ["server"]


async def test_current__several_loops__one_each(closed_runtime: None) -> None:
    async def of_other_loop() -> runtime.Runtime:
        return runtime.current()

    own = runtime.current()
    other = await asyncio.to_thread(asyncio.run, of_other_loop())
    assert other is not own
    assert runtime.current() is own
    # Its loop has ended without closing it.
    assert other.loop not in runtime._runtimes
