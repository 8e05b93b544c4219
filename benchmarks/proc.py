"""Memory, open files, threads and CPU time of processes, from /proc."""

import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")

# The memory has settled when it changes by less than this fraction, or at the latest after the time.
MAX_CHANGE = 0.001
SETTLE_SECONDS = 10.0


@dataclass(frozen=True)
class Usage:
    """The resources of processes and their descendants."""

    pss: int
    """Proportional set size in bytes. Without the kernel's memory, such as socket buffers."""

    rss: int
    """Resident set size in bytes."""

    files: int
    threads: int


def with_descendants(pid: int) -> list[int]:
    """The process and its descendants."""
    found = [pid]
    for task in (PROC / str(pid) / "task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except FileNotFoundError:
            # The thread has ended.
            continue
        for child in children:
            found += with_descendants(int(child))
    return found


def usage(*pids: int) -> Usage:
    """The resources of these processes and their descendants."""
    pids_of_all = [member for pid in pids for member in with_descendants(pid)]
    return Usage(
        pss=sum(_rolled_up(pid, "Pss") for pid in pids_of_all),
        rss=sum(_rolled_up(pid, "Rss") for pid in pids_of_all),
        files=sum(len(list((PROC / str(pid) / "fd").iterdir())) for pid in pids_of_all),
        threads=sum(len(list((PROC / str(pid) / "task").iterdir())) for pid in pids_of_all),
    )


def settled(*pids: int) -> Usage:
    """``usage``, once the memory has settled."""
    deadline = time.monotonic() + SETTLE_SECONDS
    before = usage(*pids)
    while True:
        time.sleep(0.5)
        now = usage(*pids)
        if abs(now.pss - before.pss) <= MAX_CHANGE * before.pss or time.monotonic() > deadline:
            return now
        before = now


def kernel(*names: str) -> int:
    """The sum of these values of /proc/meminfo, in bytes."""
    lines = (line.split() for line in (PROC / "meminfo").read_text().splitlines())
    return sum(int(size) * 1024 for name, size, *_ in lines if name.removesuffix(":") in names)


def cpu_seconds(*pids: int) -> float:
    """The CPU time of these processes and their descendants, with a resolution of nanoseconds."""
    # The CPU clock of another process, as in clock_getcpuclockid(3).
    return sum(time.clock_gettime((~member << 3) | 2) for pid in pids for member in with_descendants(pid))


def _rolled_up(pid: int, name: str) -> int:
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/{pid}/smaps_rollup has no {name}")
