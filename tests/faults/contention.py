"""CPU contention: the time for which a thread that could run waits for a core.

with Contention() as contention:
    ...
contention.seconds
"""

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

# The thread needs a core for a third of the time, about as much as a server that reconnects, reads and delivers.
SLEEP_SECONDS = 0.006
RUN_SECONDS = 0.003


def seconds_without_core(pid: int) -> float:
    """The time for which the main thread of a process could run and had no core, since its start."""
    # Its CPU time, and its time on a run queue, in nanoseconds (Documentation/scheduler/sched-stats.rst).
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9


class Contention:
    """A context manager that measures contention with a thread.

    ``seconds`` is the elapsed time without the time for which the thread sleeps or runs: near 0 on an idle machine. A
    busy machine delays the processes under test equally, so it is subtracted from their times.
    """

    def __init__(self) -> None:
        self.seconds = 0.0
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._run, name="contention", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._ended.is_set():
            began, ran = time.monotonic(), time.thread_time()
            time.sleep(SLEEP_SECONDS)
            while time.thread_time() - ran < RUN_SECONDS:
                pass
            self.seconds += time.monotonic() - began - SLEEP_SECONDS - (time.thread_time() - ran)
