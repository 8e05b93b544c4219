"""Very many streams, opened by client processes; every stream is counted, and every byte is checked.

    with StreamClients([Target(port, path)], 10_000) as clients:
        opened = clients.open()
        clients.expect(after=opened.version)
        ...
        arrived = clients.arrived()

Times are of ``time.perf_counter``, which all processes share, in seconds. A stream that ends, breaks or violates the
protocol fails the whole measurement.
"""

import multiprocessing
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any, NamedTuple, Self

from benchmarks import cores
from benchmarks.client_process import ClientProcess

TIMEOUT = 120.0

# Below the usual hard limit of open files.
MAX_STREAMS_PER_PROCESS = 15_000

_generations = count()


class Target(NamedTuple):
    """A stream's address."""

    port: int
    path: str


@dataclass(frozen=True)
class Opened:
    """The times of opening all streams."""

    each: list[float]
    """The sorted durations from a connect to the last byte of its first event, in seconds."""

    seconds: float
    """From the first connect to the last stream's first event."""

    version: int
    """The newest version of any stream."""

    busy: float
    """As ``Arrived.busy``."""


@dataclass(frozen=True)
class Arrived:
    """The times of an update's arrival at all streams."""

    times: list[float]
    """The sorted times of the update's last byte."""

    version: int
    """The newest version of any stream."""

    busy: float
    """The CPU time of the busiest client process, as a fraction of the time from first to last. Near 1, the client
    limits the measurement."""

    client_seconds: float
    """The CPU time of all client processes meanwhile."""


class StreamClients:
    """Streams, evenly distributed over these targets. In this context, client processes read them."""

    def __init__(
        self,
        targets: Sequence[Target],
        number: int,
        *,
        processes: int | None = None,
        window: int = 256,
        client_process: type[ClientProcess] = ClientProcess,
        on: list[int] = cores.CLIENT,
        **options: Any,
    ) -> None:
        self.number = number
        self._window = window
        self._client_process = client_process
        self._cores = on
        self._options = options
        each = [targets[index % len(targets)] for index in range(number)]
        processes = processes or -(-number // MAX_STREAMS_PER_PROCESS)
        self._shares = [each[index::processes] for index in range(processes)]
        self._workers: list[tuple[multiprocessing.process.BaseProcess, Connection]] = []

    def __enter__(self) -> Self:
        spawn = multiprocessing.get_context("spawn")
        # Different source addresses: each has a limited number of ports, and closed connections keep theirs for a
        # while.
        generation = next(_generations) % 250 + 1
        try:
            with cores.pinned_to(self._cores):
                for index, share in enumerate(self._shares):
                    ours, theirs = spawn.Pipe()
                    arguments = (theirs, share, f"127.{index + 1}.{generation}", self._window, self._options)
                    worker = spawn.Process(
                        target=self._client_process.main, args=arguments, name=f"stream clients {index}", daemon=True
                    )
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

    def open(self, timeout: float = TIMEOUT) -> Opened:
        """Open all streams."""
        answers = self.ask("open", timeout=timeout)
        each = sorted(seconds for answer in answers for seconds in answer["each"])
        self._count(each)
        began = min(answer["began"] for answer in answers)
        ended = max(answer["ended"] for answer in answers)
        busy = max(answer["client_seconds"] for answer in answers) / (ended - began)
        return Opened(each, ended - began, max(answer["version"] for answer in answers), busy)

    def expect(self, after: int, **options: Any) -> None:
        """Record when each stream gets an update newer than this."""
        self.ask("expect", after=after, **options)

    def arrived(self, timeout: float = TIMEOUT) -> Arrived:
        """Wait until all streams have it. The TimeoutError names the number that have it."""
        answers = self._answers("arrived", timeout)
        times = sorted(time for answer in answers for time in answer["times"])
        self._count(times)
        return Arrived(
            times,
            max(answer["version"] for answer in answers),
            max(answer["busy"] for answer in answers),
            sum(answer["client_seconds"] for answer in answers),
        )

    def ask(self, command: str, timeout: float = TIMEOUT, **options: Any) -> list[dict[str, Any]]:
        """Send a command of ``ClientProcess`` to all processes, and return their answers."""
        for _, connection in self._workers:
            connection.send((command, options))
        return self._answers(command, timeout)

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
            raise RuntimeError(f"{command}: a client process has exited") from None
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
