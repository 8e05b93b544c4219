"""The numbers that this process counts, in memory that the server's other processes can read.

``manage.py serve --workers N`` has N processes behind one port, and a scrape reaches one of them, which must tell of
all. So each counts in one mapped file of its own: a count is an addition to an integer, nothing is sent or written
from time to time, what a killed process has counted is all there, and whoever is asked adds the files up. A file is
locked for as long as its process lives, and who starts goes on in a file that is not: sums never fall, what is true
only of a living process (streams that are open) leaves the sum with it, and there are never more files than there
were processes at one time.

prometheus-client has a mode for several processes, too. It takes a lock and a microsecond for each count, keeps files
of every process that ever was, and its gauges need somebody who tells it of each death: nobody here knows of one.
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

# Room for so many numbers of eight bytes: one page.
BYTES = 4096
ROOM = BYTES // 8


class Read(NamedTuple):
    """The numbers of one process, by name."""

    file: str
    alive: bool
    numbers: dict[str, int]


class Figures:
    """Integers by name. Each is written by one thread, or under a lock of those who write it."""

    def __init__(self) -> None:
        self.values = memoryview(bytearray(BYTES)).cast("q")
        self._lasting: dict[str, bool] = {}
        self._file: BinaryIO | None = None
        self._directory: Path | None = None

    def add(self, name: str, lasting: bool) -> int:
        """A new number, at this index of ``values``. One that is not ``lasting`` ends with its process."""
        if self._file is not None:
            raise RuntimeError(f"{name} comes too late: the figures are shared already.")
        if len(self._lasting) >= ROOM:
            raise RuntimeError(f"There is no room for {name}.")
        self._lasting[name] = lasting
        return len(self._lasting) - 1

    def share(self, directory: Path) -> None:
        """Count in a file of this directory from now on. What has been counted is kept."""
        if self._file is not None:
            return
        self._directory = directory
        tried = (self._take(directory / str(number)) for number in itertools.count())
        self._file = next(file for file in tried if file is not None)

    def close(self) -> None:
        """Count in this process's own memory again; the file counts as a dead process's."""
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

    def read(self) -> Iterator[Read]:
        """The numbers of each process, this one among them, and of dead ones those that are lasting."""
        if self._directory is None:
            yield Read("", True, dict(zip(self._lasting, self.values, strict=False)))
            return
        for path in self._directory.iterdir():
            read = _read(path)
            if read is not None:
                yield read if read.alive else read._replace(numbers=self._lasting_of(read.numbers))

    def sums(self) -> Counter[str]:
        """The numbers of all processes, added up."""
        sums: Counter[str] = Counter()
        for read in self.read():
            # Not ``update``, which would take a dict for a count of its own.
            for name, number in read.numbers.items():
                sums[name] += number
        return sums

    def of_others(self, name: str) -> dict[str, int]:
        """This number of each other process that lives, by its file."""
        if self._directory is None:
            return {}
        return {read.file: read.numbers.get(name, 0) for read in self.read() if read.alive and read.file != self.file}

    def _take(self, path: Path) -> BinaryIO | None:
        """Go on in this file, which stays open and so locked, if it is nobody's and holds the same numbers."""
        file = path.open("a+b")
        names = json.dumps(list(self._lasting)).encode()
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.close()
            return None
        file.seek(0)
        known = file.read()[BYTES:]
        if not known:
            # At once: a reader sees either nothing or all.
            file.write(bytes(BYTES) + names)
            file.flush()
        elif known != names:
            file.close()
            return None
        # ``values`` keeps the mapping, and the mapping a file descriptor of its own.
        values = memoryview(mmap.mmap(file.fileno(), BYTES)).cast("q")
        for index, lasting in enumerate(self._lasting.values()):
            values[index] = self.values[index] + (values[index] if lasting else 0)
        self.values = values
        return file

    def _lasting_of(self, numbers: dict[str, int]) -> dict[str, int]:
        return {name: number for name, number in numbers.items() if self._lasting.get(name, False)}


def _read(path: Path) -> Read | None:
    """What a file holds; None while its process has not written its names yet."""
    with path.open("rb") as file:
        alive = _is_locked(file)
        content = file.read()
    if len(content) <= BYTES:
        return None
    names = json.loads(content[BYTES:])
    numbers = memoryview(content)[:BYTES].cast("q")
    return Read(path.name, alive, dict(zip(names, numbers, strict=False)))


def _is_locked(file: BinaryIO) -> bool:
    try:
        # Whoever starts just now and finds the file locked by this look takes another one.
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


figures = Figures()
"""This process's."""

# A child would count in its parent's file, and hold the parent's lock for longer than the parent lives.
os.register_at_fork(after_in_child=figures.close)

DIRECTORY = "REALTIME_METRICS_DIR"
"""The environment variable by which ``serve`` tells its workers where to share."""


def share() -> None:
    """Share this process's figures, where the server says so."""
    directory = os.environ.get(DIRECTORY)
    if directory:
        figures.share(Path(directory))
