"""CPU time of the current thread, without the garbage collections that happen to run in it.

Python collects the garbage of all threads in the one whose allocation exceeds a threshold. A full collection takes 10
to 30 ms in a server with a few large documents, as long as some twenty evaluations, whichever evaluation it interrupts.
"""

import gc
import threading
import time


class _Collections(threading.local):
    """The garbage collections that have run in this thread."""

    began = 0.0
    seconds = 0.0


_collections = _Collections()


def thread_time() -> float:
    """Seconds. Only differences between two calls in one thread are meaningful."""
    return time.thread_time() - _collections.seconds


def _measure_collection(phase: str, info: dict[str, int]) -> None:
    if phase == "start":
        _collections.began = time.thread_time()
    else:
        _collections.seconds += time.thread_time() - _collections.began


gc.callbacks.append(_measure_collection)
