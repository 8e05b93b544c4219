"""A TCP proxy that can cut connections, stop their data, or garble their messages.

with Valve(redis.port) as valve:
    ... connect to valve.port ...
    valve.cut()
    valve.open()

``ForwardingProcess`` is one in a process of its own, for faults of a real process: SIGKILL and SIGSTOP.
"""

import asyncio
import sys
import threading
from collections.abc import Callable, Coroutine
from types import TracebackType
from typing import Any, Protocol, Self

from tests.support import ports, programs
from tests.support.patience import PATIENCE, START
from tests.support.processes import Process, accepts_connections

READ_BYTES = 65_536


class Garbler(Protocol):
    """Garbles the data of the upstream on one connection."""

    def garble(self, data: bytes) -> list[tuple[float, bytes]]:
        """Complete messages, each with its delay in seconds."""


class Valve:
    """Forwards connections to ``upstream``, a port of the loopback interface. By default it listens on a free port."""

    def __init__(self, upstream: int, garbler: Callable[[], Garbler] | None = None, port: int | None = None) -> None:
        self.port = ports.free_port() if port is None else port
        self.garbling = False
        """Whether new connections are garbled; existing ones are not changed."""

        self._upstream = upstream
        self._garbler = garbler
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"valve of {upstream}", daemon=True)
        self._flowing = asyncio.Event()
        self._flowing.set()
        self._refusing = False
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()

    def __enter__(self) -> Self:
        self._thread.start()
        self._do(self._listen())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def cut(self) -> None:
        """Reset all connections, and each new one, until ``open``."""
        self._refusing = True
        self.reset()

    def reset(self) -> None:
        """Reset all existing connections."""
        self._do(self._reset())

    def swallow(self) -> None:
        """Stop all data until ``open``: connections stay open, and new ones are accepted."""
        self._loop.call_soon_threadsafe(self._flowing.clear)

    def open(self) -> None:
        """Forward all data again, including the data that was stopped."""
        self._refusing = False
        self._loop.call_soon_threadsafe(self._flowing.set)

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self.port, limit=READ_BYTES)

    async def _end(self) -> None:
        self._server.close()
        await self._reset()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _reset(self) -> None:
        for writer in list(self._writers):
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._refusing:
            writer.transport.abort()
            return
        try:
            upstream_reader, upstream_writer = await asyncio.open_connection(
                "127.0.0.1", self._upstream, limit=READ_BYTES
            )
        except OSError:
            writer.transport.abort()
            return
        garbler = self._garbler() if self._garbler is not None and self.garbling else None
        ends = (writer, upstream_writer)
        self._writers.update(ends)
        pumps = [self._pump(reader, upstream_writer, None), self._pump(upstream_reader, writer, garbler)]
        tasks = [asyncio.ensure_future(pump) for pump in pumps]
        self._tasks.update(tasks)
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for end in ends:
            end.transport.abort()
        await asyncio.wait(tasks)
        self._tasks.difference_update(tasks)
        self._writers.difference_update(ends)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, garbler: Garbler | None) -> None:
        """Forward data until one of the connections ends."""
        try:
            while data := await reader.read(READ_BYTES):
                await self._flowing.wait()
                if garbler is None:
                    writer.write(data)
                else:
                    for late, message in garbler.garble(data):
                        self._loop.call_later(late, writer.write, message) if late else writer.write(message)
                await writer.drain()
        except OSError:
            return


class ForwardingProcess:
    """A context manager: a process that forwards connections to ``upstream``, on the same port after each start."""

    def __init__(self, upstream: int) -> None:
        self.port = ports.free_port()
        self._command = [sys.executable, "-m", __name__, str(self.port), str(upstream)]
        self.process: Process

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.process.kill()

    def start(self) -> None:
        """Start it, and wait until it accepts connections."""
        self.process = Process(self._command, cwd=programs.ROOT)
        self.process.wait_until(lambda: accepts_connections(self.port), START)


def main() -> None:
    port, upstream = map(int, sys.argv[1:])
    with Valve(upstream, port=port):
        threading.Event().wait()


if __name__ == "__main__":
    main()
