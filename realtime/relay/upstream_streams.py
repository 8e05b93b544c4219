"""The upstream's own event streams, one per environment: each event announces a version."""

import asyncio
import json
import random
from collections import Counter
from datetime import timedelta
from decimal import Decimal, InvalidOperation

import structlog

from realtime.relay.environments import Environments
from realtime.relay.upstream import Upstream, UpstreamError
from realtime.types import EPOCH, EnvironmentKey, UpdatedAt

logger = structlog.get_logger(__name__)

EVENT = "environment_updated"

# Pause before the next connection, at random up to this: after a stream's regular end, and after failures.
RECONNECT_SECONDS = 1.0
MAX_RETRY_SECONDS = 30.0

MICROSECOND = Decimal("0.000001")


class UpstreamStreams:
    """The connections to the upstream's streams."""

    def __init__(self, upstream: Upstream, environments: Environments) -> None:
        self._upstream = upstream
        self._environments = environments
        self._tasks: dict[EnvironmentKey, asyncio.Task[None]] = {}
        self._failures: Counter[EnvironmentKey] = Counter()
        """The failures since the last line of each stream."""

    def synchronize(self) -> None:
        """Open the streams of added environments, and close those of removed ones."""
        keys = self._environments.by_client_key.keys()
        for key in self._tasks.keys() - keys:
            self._tasks.pop(key).cancel()
            self._failures.pop(key, None)
        for key in keys - self._tasks.keys():
            self._tasks[key] = asyncio.create_task(self._read_for_ever(key))

    async def close(self) -> None:
        for task in self._tasks.values():
            task.cancel()
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def _read_for_ever(self, key: EnvironmentKey) -> None:
        while True:
            try:
                await self._read(key)
            except UpstreamError as error:
                self._failures[key] += 1
                if self._failures[key] == 1:
                    logger.warning("upstream_stream_failed", environment=key, error=str(error))
            except Exception:
                self._failures[key] += 1
                logger.exception("upstream_stream_failed", environment=key)
            await self._pause(key)

    async def _pause(self, key: EnvironmentKey) -> None:
        """Wait before the next connection; after failures at most until a fetch shows that the upstream is back."""
        if failures := min(self._failures[key], 10):
            seconds = min(MAX_RETRY_SECONDS, RECONNECT_SECONDS * 2.0**failures) * random.random()  # noqa: S311
            await self._environments.wait_for_recovery(key, seconds)
        else:
            await asyncio.sleep(RECONNECT_SECONDS * random.random())  # noqa: S311

    async def _read(self, key: EnvironmentKey) -> None:
        """Read one stream to its end."""
        async with self._upstream.stream(key) as lines:
            event = ""
            async for line in lines:
                if self._failures.pop(key, 0):
                    logger.info("upstream_stream_recovered", environment=key)
                name, _, value = line.partition(":")
                if name == "event":
                    event = value.strip()
                elif name == "data" and event == EVENT and (version := parse(value)) is not None:
                    self._environments.notify(key, version, "stream")
                elif not line:
                    event = ""


def parse(data: str) -> UpdatedAt | None:
    """The version in an event's data; None if there is none."""
    try:
        seconds = json.loads(data, parse_float=Decimal)["updated_at"]
        return EPOCH + timedelta(microseconds=int(Decimal(seconds) / MICROSECOND))
    except (ValueError, KeyError, TypeError, InvalidOperation, OverflowError):
        return None
