"""How long tests wait."""

PATIENCE = 60.0
"""Seconds for what comes at once on an idle machine, however slow and busy this one is.

Nobody waits longer than it takes, so that much costs nothing; only a failure shows after so long. What a test says
about time itself has a figure of its own.
"""

START = 2 * PATIENCE
"""Seconds until a process that was started serves: it has an application to import first."""

FIRST_START = 8 * START
"""Seconds until ``scripts/run`` serves for the first time: an environment, what goes into it, and migrations."""
