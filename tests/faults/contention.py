"""CPU contention: the time for which a thread that could run waits for a core.

with Contention() as contention:
    ...
contention.seconds
"""

import threading
import time
from types import TracebackType
from typing import Self

# In turns, so that the thread needs a core for a third of the time: about what a server needs that reconnects, reads
# and delivers.
SLEEP_SECONDS = 0.006
RUN_SECONDS = 0.003


class Contention:
    """Measures with a thread of its own, while it is entered.

    The result is the elapsed time, less that for which the thread sleeps and that for which it runs: near 0 on an idle
    machine. A busy machine holds up the processes under test in the same way, so what they take is judged without it.
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
