"""For whoever watches the process, with what this product adds to each answer."""

from functools import partial

from core.surroundings import surroundings
from realtime.serving import health
from realtime.serving.health import READINESS, liveness, readiness

__all__ = ["READINESS", "ahead_of", "liveness", "readiness"]

ahead_of = partial(health.ahead_of, surroundings=surroundings)
