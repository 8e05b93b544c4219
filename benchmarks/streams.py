"""Very many streams at once, held by client processes of their own: every one is counted, every byte is checked.

    with Herd([Target(port, path)], 10_000) as herd:
        opened = herd.open()
        herd.expect(after=opened.version)
        ...
        arrived = herd.arrived()

Times are of ``time.perf_counter``, which all processes share, in seconds. A stream that ends, breaks, or brings a byte
that it must not, fails the whole measurement.
"""

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, NamedTuple, Self

from benchmarks import cores
from benchmarks.holder import Holder

TIMEOUT = 120.0

# Of one client process, below the usual hard limit of open files.
MOST = 15_000

_generations = count()


class Target(NamedTuple):
    """A stream's address, and the name of the event that it begins with."""

    port: int
    path: str
    greeting: str = "environment_updated"


@dataclass(frozen=True)
class Opened:
    """All streams have had their first event."""

    each: list[float]
    """Seconds of each, sorted, from its connect to the last byte of its first event."""

    seconds: float
    """From the first connect to the last first event."""

    version: int
    """The newest that any of them has."""

    busy: float
    """As ``Arrived.busy``."""


@dataclass(frozen=True)
class Arrived:
    """All streams have the update."""

    times: list[float]
    """When each had its last byte, sorted."""

    version: int
    """The newest that any of them has."""

    busy: float
    """The part of the time from first to last in which the busiest client was at work. Near 1: the client is what is
    measured."""

    client_seconds: float
    """Seconds that all clients had a core meanwhile."""


class Herd:
    """Streams of these targets, as many of each. While it is entered, its processes read whatever comes."""

    def __init__(
        self,
        targets: Sequence[Target],
        number: int,
        *,
        processes: int | None = None,
        window: int = 256,
        holder: type[Holder] = Holder,
        on: list[int] = cores.CLIENT,
        **options: Any,
    ) -> None:
        self.number = number
        self._window = window
        self._holder = holder
        self._cores = on
        self._options = options
        each = [targets[index % len(targets)] for index in range(number)]
        processes = processes or -(-number // MOST)
        self._shares = [each[index::processes] for index in range(processes)]
        self._workers: list[tuple[multiprocessing.process.BaseProcess, Connection]] = []

    def __enter__(self) -> Self:
        spawn = multiprocessing.get_context("spawn")
        # Addresses of their own, since one has only so many ports, and those of the last ones are not free at once.
        generation = next(_generations) % 250 + 1
        try:
            with cores.on(self._cores):
                for index, share in enumerate(self._shares):
                    ours, theirs = spawn.Pipe()
                    arguments = (theirs, share, f"127.{index + 1}.{generation}", self._window, self._options)
                    worker = spawn.Process(target=self._holder.main, args=arguments, name=f"herd {index}", daemon=True)
                    worker.start()
                    theirs.close()
                    self._workers.append((worker, ours))
            self._answers("ready")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._end()

    def open(self) -> Opened:
        """Open all streams."""
        answers = self.ask("open")
        each = sorted(seconds for answer in answers for seconds in answer["each"])
        self._count(each)
        began = min(answer["began"] for answer in answers)
        ended = max(answer["ended"] for answer in answers)
        busy = max(answer["client_seconds"] for answer in answers) / (ended - began)
        return Opened(each, ended - began, max(answer["version"] for answer in answers), busy)

    def expect(self, after: int, **options: Any) -> None:
        """From now on, note when each stream has an update newer than this."""
        self.ask("expect", after=after, **options)

    def arrived(self, timeout: float = TIMEOUT) -> Arrived:
        """Wait until each has. A timeout raises, and says how many had it."""
        answers = self._answers("arrived", timeout)
        times = sorted(time for answer in answers for time in answer["times"])
        self._count(times)
        return Arrived(
            times,
            max(answer["version"] for answer in answers),
            max(answer["busy"] for answer in answers),
            sum(answer["client_seconds"] for answer in answers),
        )

    def ask(self, command: str, **options: Any) -> list[dict[str, Any]]:
        """Give all processes a command of ``Holder``, and return their answers."""
        for _, connection in self._workers:
            connection.send((command, options))
        return self._answers(command)

    def _answers(self, command: str, timeout: float = TIMEOUT) -> list[dict[str, Any]]:
        return [self._answer(connection, command, timeout) for _, connection in self._workers]

    def _answer(self, connection: Connection, command: str, timeout: float) -> dict[str, Any]:
        if not connection.poll(timeout):
            connection.send(("state", {}))
            state = connection.recv() if connection.poll(5) else None
            raise TimeoutError(f"{command}: not done after {timeout:g} s; {state}")
        try:
            name, answer = connection.recv()
        except EOFError:
            raise RuntimeError(f"{command}: a client process has died") from None
        if name != command:
            raise RuntimeError(f"{command}: {name}: {answer}")
        done: dict[str, Any] = answer
        return done

    def _count(self, times: list[float]) -> None:
        if len(times) != self.number:
            raise RuntimeError(f"{len(times)} streams instead of {self.number}")

    def _end(self) -> None:
        for worker, connection in self._workers:
            connection.close()
            worker.join(10)
            if worker.is_alive():
                worker.kill()
                worker.join()
        self._workers.clear()
