"""What the kernel says of processes, from /proc: memory, open files, threads and time on a core."""

import time
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")

# A reading counts once it has moved by less than this part, or at the latest after so many seconds.
STILL = 0.001
SETTLE_SECONDS = 10.0


@dataclass(frozen=True)
class Usage:
    """Of a process and all its descendants."""

    pss: int
    """Bytes of memory, what is shared divided by its sharers. The kernel's own, as socket buffers, is not in it."""

    rss: int
    """Bytes of memory, what is shared counted for each."""

    files: int
    threads: int


def family(pid: int) -> list[int]:
    """The process, and those that come from it."""
    found = [pid]
    for task in (PROC / str(pid) / "task").iterdir():
        try:
            children = (task / "children").read_text().split()
        except FileNotFoundError:
            # The thread has ended.
            continue
        for child in children:
            found += family(int(child))
    return found


def usage(*pids: int) -> Usage:
    """Of these processes and their descendants together."""
    whole = [member for pid in pids for member in family(pid)]
    return Usage(
        pss=sum(_rolled_up(pid, "Pss") for pid in whole),
        rss=sum(_rolled_up(pid, "Rss") for pid in whole),
        files=sum(len(list((PROC / str(pid) / "fd").iterdir())) for pid in whole),
        threads=sum(len(list((PROC / str(pid) / "task").iterdir())) for pid in whole),
    )


def settled(*pids: int) -> Usage:
    """The same, once the memory no longer moves."""
    deadline = time.monotonic() + SETTLE_SECONDS
    before = usage(*pids)
    while True:
        time.sleep(0.5)
        now = usage(*pids)
        if abs(now.pss - before.pss) <= STILL * before.pss or time.monotonic() > deadline:
            return now
        before = now


def on_core(*pids: int) -> float:
    """Seconds that these processes and their descendants have had a core, to the nanosecond."""
    # The clock of another process's time on a core, as clock_getcpuclockid(3) makes it.
    return sum(time.clock_gettime((~member << 3) | 2) for pid in pids for member in family(pid))


def longest_send_queue(port: int) -> int:
    """Bytes that the kernel holds for the client of this port that is behind most."""
    longest = 0
    for line in (PROC / "net" / "tcp").read_text().splitlines()[1:]:
        _, local, _, _, queues, *_ = line.split()
        if int(local.partition(":")[2], 16) == port:
            longest = max(longest, int(queues.partition(":")[0], 16))
    return longest


def _rolled_up(pid: int, name: str) -> int:
    for line in (PROC / str(pid) / "smaps_rollup").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise ValueError(f"/proc/{pid}/smaps_rollup has no {name}")
