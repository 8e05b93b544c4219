"""Timeouts of tests."""

import time
from collections.abc import Callable

PATIENCE = 60.0
"""Seconds for an event that comes immediately on an idle machine.

A wait ends with the event, so a long timeout delays only failures. Tests of times have timeouts of their own.
"""

START = 2 * PATIENCE
"""Seconds until a started process serves, after it has imported the application."""

FIRST_START = 8 * START
"""Seconds until ``scripts/run`` serves for the first time, with the installation of packages and migrations."""


def until(holds: Callable[[], object], seconds: float = PATIENCE) -> None:
    """Poll until the condition is true, if no event announces it."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "the condition did not become true"
        time.sleep(0.01)
