"""CPU affinity: servers under measurement on the first core, clients on the others."""

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

CORES = sorted(os.sched_getaffinity(0))

SERVER = CORES[:1]
CLIENT = CORES[1:] or CORES


@contextmanager
def pinned_to(cores: list[int]) -> Iterator[None]:
    """Pin this thread, and processes that it starts in this context, to these cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def raise_file_limit() -> int:
    """Raise the limit of open files for this process and its children to the hard limit, and return it."""
    hard_limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard_limit, hard_limit))
    return hard_limit
