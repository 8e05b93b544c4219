"""Settings of a server whose parts can be blocked by requests."""

from settings.dev import *  # noqa: F403

ASGI_APPLICATION = "tests.metrics.wedging.application"
