"""Counters of this process in a memory-mapped file, which the server's other processes can read.

``manage.py serve --workers N`` runs N processes behind one port. A scrape reaches one of them and must cover all. So
each process counts in a file of its own, and the process that answers a scrape adds up all files. To count is to add to
an integer: nothing is sent or written periodically, and the counts of a killed process are complete.

A process locks its file while it runs. A new process continues in a file that is not locked. So cumulative counters
never decrease, values that are true only of a running process (open streams) leave the sum with it, and there are no
more files than there were processes at one time.

prometheus-client has a multiprocess mode, too. It takes a lock and 1 µs for each count, keeps files of every process
that ever ran, and its gauges require a notification of each process's death, which nothing here could send.
"""

import fcntl
import itertools
import json
import mmap
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

# One page, for values of eight bytes each.
VALUES_SIZE = 4096
MAX_COUNTERS = VALUES_SIZE // 8


class Snapshot(NamedTuple):
    """The counters of one process, by name."""

    file: str
    alive: bool
    numbers: dict[str, int]


class SharedCounters:
    """Integers by name. Each is written by a single thread, or under a lock of its writers."""

    def __init__(self) -> None:
        self.values = memoryview(bytearray(VALUES_SIZE)).cast("q")
        self._cumulative: dict[str, bool] = {}
        self._file: BinaryIO | None = None
        self._directory: Path | None = None

    def add(self, name: str, cumulative: bool) -> int:
        """Add a counter and return its index in ``values``. If not ``cumulative``, it ends with its process."""
        if self._file is not None:
            raise RuntimeError(f"Counter {name!r} must be added before share() is called.")
        if len(self._cumulative) >= MAX_COUNTERS:
            raise RuntimeError(f"Counter {name!r} exceeds the maximum of {MAX_COUNTERS} counters.")
        self._cumulative[name] = cumulative
        return len(self._cumulative) - 1

    def share(self, directory: Path) -> None:
        """Count in a file of this directory from now on. The counts up to now are kept."""
        if self._file is not None:
            return
        self._directory = directory
        attempts = (self._take(directory / str(number)) for number in itertools.count())
        self._file = next(file for file in attempts if file is not None)

    def close(self) -> None:
        """Count in this process's own memory again, and unlock the file."""
        if self._file is None:
            return
        values = memoryview(bytearray(self.values)).cast("q")
        self.values.release()
        self.values = values
        self._file.close()
        self._file = self._directory = None

    @property
    def file(self) -> str | None:
        """The name of this process's file."""
        return Path(self._file.name).name if self._file is not None else None

    def read(self) -> Iterator[Snapshot]:
        """The counters of all processes, this one included. Of ended processes only the cumulative ones."""
        if self._directory is None:
            yield Snapshot("", True, dict(zip(self._cumulative, self.values, strict=False)))
            return
        for path in self._directory.iterdir():
            snapshot = _read(path)
            if snapshot is not None:
                yield snapshot if snapshot.alive else snapshot._replace(numbers=self._cumulative_of(snapshot.numbers))

    def sums(self) -> Counter[str]:
        """The sum over all processes, by name."""
        sums: Counter[str] = Counter()
        for snapshot in self.read():
            sums.update(snapshot.numbers)
        return sums

    def of_others(self, name: str) -> dict[str, int]:
        """This counter in each other running process, by its file."""
        if self._directory is None:
            return {}
        return {
            other.file: other.numbers.get(name, 0) for other in self.read() if other.alive and other.file != self.file
        }

    def _take(self, path: Path) -> BinaryIO | None:
        """Lock this file and count in it, unless it is locked or holds other counters. Returns the open file."""
        file = path.open("a+b")
        names = json.dumps(list(self._cumulative)).encode()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        file.seek(0)
        stored_names = file.read()[VALUES_SIZE:]
        if not stored_names:
            # In one write, so that a reader sees either an empty or a complete file.
            file.write(bytes(VALUES_SIZE) + names)
            file.flush()
        elif stored_names != names:
            file.close()
            return None
        # ``values`` keeps the mapping alive. The mapping has a file descriptor of its own.
        values = memoryview(mmap.mmap(file.fileno(), VALUES_SIZE)).cast("q")
        for index, cumulative in enumerate(self._cumulative.values()):
            values[index] = self.values[index] + (values[index] if cumulative else 0)
        self.values = values
        return file

    def _cumulative_of(self, numbers: dict[str, int]) -> dict[str, int]:
        return {name: number for name, number in numbers.items() if self._cumulative.get(name, False)}


def _read(path: Path) -> Snapshot | None:
    """The counters in a file; None before its process has written them."""
    with path.open("rb") as file:
        alive = _is_locked(file)
        content = file.read()
    if len(content) <= VALUES_SIZE:
        return None
    names = json.loads(content[VALUES_SIZE:])
    numbers = memoryview(content)[:VALUES_SIZE].cast("q")
    return Snapshot(path.name, alive, dict(zip(names, numbers, strict=False)))


def _is_locked(file: BinaryIO) -> bool:
    try:
        # A process that starts at this moment finds the file locked, and takes another one.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


counters = SharedCounters()
"""The counters of this process."""

# A forked child must not count in its parent's file, nor keep its lock after the parent has ended.
os.register_at_fork(after_in_child=counters.close)

DIRECTORY = "REALTIME_METRICS_DIR"
"""The environment variable that names the directory of the files. ``serve`` sets it for its workers."""


def share() -> None:
    """Share this process's counters, if ``REALTIME_METRICS_DIR`` is set."""
    directory = os.environ.get(DIRECTORY)
    if directory:
        counters.share(Path(directory))
