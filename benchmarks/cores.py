"""Who runs where: servers under measurement on the first core, clients on the others."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

CORES = sorted(os.sched_getaffinity(0))

SERVER = CORES[:1]
CLIENT = CORES[1:] or CORES


@contextmanager
def on(cores: list[int]) -> Iterator[None]:
    """This thread, and processes that it starts meanwhile, run on these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def raise_file_limit() -> int:
    """Let this process, and those that it starts, open as many files as the system lets them; say how many."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most
