"""Settings of a server that can be wedged."""

from settings.dev import *  # noqa: F403

ASGI_APPLICATION = "tests.metrics.wedging.application"
