"""Settings of a server that returns the names of its threads."""

from settings.dev import *  # noqa: F403

ASGI_APPLICATION = "tests.realtime.counting_threads.application"
