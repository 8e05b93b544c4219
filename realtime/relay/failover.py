"""Failover between the URLs of an upstream: the next one is used when one fails, and the first is tried again later."""

import time
from collections.abc import Callable

import structlog

logger = structlog.get_logger(__name__)

# While another URL is used, the first one is tried at this interval, with one request.
FIRST_AGAIN_SECONDS = 30.0


class Failover:
    """The URLs, in the order of preference, and the one in use."""

    def __init__(self, urls: tuple[str, ...], clock: Callable[[], float] = time.monotonic) -> None:
        self.urls = urls
        self._clock = clock
        self._index = 0
        self._first_at = 0.0
        """The time at which the first URL is tried again."""

    def current(self) -> str:
        """The URL for the next request. Its result is reported by ``succeeded`` or ``failed``."""
        if self._index and self._clock() >= self._first_at:
            self._first_at = self._clock() + FIRST_AGAIN_SECONDS
            return self.urls[0]
        return self.urls[self._index]

    def succeeded(self, url: str) -> None:
        if self._index and url == self.urls[0]:
            self._use(0)

    def failed(self, url: str) -> None:
        """Use the next URL, unless another request has failed before and the next one is in use."""
        if len(self.urls) > 1 and url == self.urls[self._index]:
            self._first_at = self._clock() + FIRST_AGAIN_SECONDS
            self._use((self._index + 1) % len(self.urls))

    def _use(self, index: int) -> None:
        logger.warning("upstream_changed", before=self.urls[self._index], now=self.urls[index])
        self._index = index
