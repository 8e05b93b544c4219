"""The upstream's own event streams, one per environment: each event announces a version."""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal, InvalidOperation

import structlog

from realtime.failure_log import FailureLog
from realtime.relay.upstream import Upstream, UpstreamError
from realtime.types import EPOCH, EnvironmentKey, UpdatedAt

logger = structlog.get_logger(__name__)

EVENT = "environment_updated"

# Pause before the next connection, at random up to this: after a stream's regular end, and after failures.
RECONNECT_SECONDS = 1.0
MAX_RETRY_SECONDS = 30.0

MICROSECOND = Decimal("0.000001")


async def follow(
    upstream: Upstream,
    key: EnvironmentKey,
    notify: Callable[[EnvironmentKey, UpdatedAt, str], None],
    wait_for_recovery: Callable[[EnvironmentKey, float], Awaitable[None]],
) -> None:
    """Announce the versions in the stream of an environment, until the task is cancelled.

    ``wait_for_recovery`` waits so long, or until a fetch shows that the upstream is back.
    """
    log = FailureLog(logger.bind(environment=key), "upstream_stream_failed", "upstream_stream_recovered")
    failures = 0
    while True:
        try:
            async with upstream.stream(key) as lines:
                event = ""
                async for line in lines:
                    failures = 0
                    log.succeeded()
                    name, _, value = line.partition(":")
                    if name == "event":
                        event = value.strip()
                    elif name == "data" and event == EVENT and (version := parse(value)) is not None:
                        notify(key, version, "stream")
                    elif not line:
                        event = ""
        except UpstreamError as error:
            failures += 1
            log.failed(error)
        except Exception:
            failures += 1
            logger.exception("upstream_stream_failed", environment=key)
        if failures:
            seconds = min(MAX_RETRY_SECONDS, RECONNECT_SECONDS * 2.0 ** min(failures, 10))
            await wait_for_recovery(key, seconds * random.random())  # noqa: S311
        else:
            await asyncio.sleep(RECONNECT_SECONDS * random.random())  # noqa: S311


def parse(data: str) -> UpdatedAt | None:
    """The version in an event's data; None if there is none."""
    try:
        seconds = json.loads(data, parse_float=Decimal)["updated_at"]
        return EPOCH + timedelta(microseconds=int(Decimal(seconds) / MICROSECOND))
    except (ValueError, KeyError, TypeError, InvalidOperation, OverflowError):
        return None
