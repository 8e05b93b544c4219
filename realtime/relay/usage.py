"""Usage of SDKs: evaluations are added up and sent to the upstream in batches, so that its figures stay right.

A batch that cannot be sent is sent with the next one.
"""

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

import structlog

from realtime.relay import relay_metrics
from realtime.relay.upstream import RawHeaders, Upstream, UpstreamError, is_temporary

logger = structlog.get_logger(__name__)

INTERVAL_SECONDS = 10.0

CLOSE_SECONDS = 2.0

# Different counts that are kept. Identifiers are part of a count in version 2.
MAX_COUNTS = 50_000

# Evaluations in one request of version 2.
MAX_EVALUATIONS = 1_000

MAX_COUNT = 2**31 - 1

LABELS = (b"flagsmith-application-name", b"flagsmith-application-version", b"flagsmith-sdk-user-agent", b"user-agent")
MAX_LABEL_LENGTH = 200

CONTROL = bytes((*range(0x20), 0x7F))
"""Characters that no header may contain."""


class Source(NamedTuple):
    """The senders of counts that are sent in one request."""

    key: str
    labels: RawHeaders
    """The request headers that Flagsmith stores with the counts."""

    version: int
    """Of the API: 1 or 2."""


class Usage:
    """The counts of this process that were not sent yet."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._counts: dict[Source, Counter[Any]] = {}
        self._size = 0
        self._failing = False
        self._dropping = False
        self._task = asyncio.create_task(self._run())

    def count(self, source: Source, evaluation: Any, number: int) -> None:
        """Add evaluations of a flag."""
        counts = self._counts.setdefault(source, Counter())
        if evaluation not in counts:
            if self._size >= MAX_COUNTS:
                relay_metrics.dropped["usage"].add(number)
                if not self._dropping:
                    logger.warning("usage_dropped", reason=f"{MAX_COUNTS} different counts wait for the upstream")
                self._dropping = True
                return
            self._size += 1
        counts[evaluation] = min(counts[evaluation] + number, MAX_COUNT)

    async def close(self) -> None:
        """Send what is left, for a short time."""
        self._task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._send()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            await self._send()

    async def _send(self) -> None:
        """Send all counts. At the first failure, the rest is kept for the next time."""
        batches, self._counts, self._size, self._dropping = self._counts, {}, 0, False
        try:
            while batches:
                source, counts = next(iter(batches.items()))
                await (self._send_totals if source.version == 1 else self._send_evaluations)(source, counts)
                del batches[source]
            self._failing = False
        except Exception as error:
            if not self._failing:
                logger.warning("usage_not_sent", error=str(error), exc_info=not isinstance(error, UpstreamError))
            self._failing = True
        finally:
            for source, counts in batches.items():
                for evaluation, number in counts.items():
                    self.count(source, evaluation, number)

    async def _send_totals(self, source: Source, counts: Counter[Any]) -> None:
        await self._post(source, dict(counts))
        counts.clear()

    async def _send_evaluations(self, source: Source, counts: Counter[Any]) -> None:
        for batch in _batches(list(counts.items())):
            evaluations = [
                {
                    "feature_name": name,
                    "identity_identifier": identifier,
                    "enabled_when_evaluated": enabled,
                    "count": number,
                }
                for (name, identifier, enabled), number in batch
            ]
            await self._post(source, {"evaluations": evaluations})
            for evaluation, _ in batch:
                del counts[evaluation]

    async def _post(self, source: Source, content: Any) -> None:
        body = json.dumps(content).encode()
        status = await self._upstream.send("POST", "analytics/flags/", source.key, body, source.labels, source.version)
        if is_temporary(status):
            raise UpstreamError("failed", f"the upstream answers {status}")
        if status >= 400:
            # It would not accept them later either.
            relay_metrics.dropped["usage"].add(1)
            logger.warning("usage_rejected", status=status)


def labels(headers: list[tuple[bytes, bytes]]) -> RawHeaders:
    """The labels in a request's headers, without what cannot be sent: control characters, and spaces at the end."""
    return tuple(
        (name, value.translate(None, CONTROL)[:MAX_LABEL_LENGTH].strip()) for name, value in headers if name in LABELS
    )


def totals(posted: dict[str, Any], is_known: Callable[[str], bool]) -> Iterator[tuple[str, int]]:
    """The valid counts in a body of version 1. As in Flagsmith, others are ignored."""
    for name, number in posted.items():
        if is_known(name) and _is_count(number):
            yield name, number


def evaluations(
    posted: list[dict[str, Any]], is_known: Callable[[str], bool]
) -> Iterator[tuple[tuple[str, str | None, bool], int]]:
    """The evaluations of known features in a body of version 2, which was checked."""
    for item in posted:
        if is_known(item["feature_name"]) and _is_count(item["count"]):
            evaluated = item["feature_name"], item.get("identity_identifier"), item["enabled_when_evaluated"]
            yield evaluated, item["count"]


def errors(posted: Any) -> dict[str, Any] | None:
    """The errors of a body of version 2, in the format of Django REST framework; None if it is valid."""
    if not isinstance(posted, dict):
        return {"non_field_errors": ["Invalid data. Expected a dictionary."]}
    items = posted.get("evaluations")
    if items is None:
        return {"evaluations": ["This field is required."]}
    if not isinstance(items, list):
        return {"evaluations": {"non_field_errors": ["Expected a list of items."]}}
    found = [_item_errors(item) for item in items]
    return {"evaluations": found} if any(found) else None


def _item_errors(item: Any) -> dict[str, list[str]]:
    if not isinstance(item, dict):
        return {"non_field_errors": ["Invalid data. Expected a dictionary."]}
    kinds: dict[str, tuple[type, str]] = {
        "feature_name": (str, "Not a valid string."),
        "enabled_when_evaluated": (bool, "Must be a valid boolean."),
        "count": (int, "A valid integer is required."),
    }
    found: dict[str, list[str]] = {}
    for name, (kind, message) in kinds.items():
        if name not in item:
            found[name] = ["This field is required."]
        elif type(item[name]) is not kind:
            found[name] = [message]
    if not isinstance(item.get("identity_identifier"), str | None):
        found["identity_identifier"] = ["Not a valid string."]
    return found


def _is_count(number: Any) -> bool:
    return type(number) is int and 0 < number <= MAX_COUNT


def _batches(items: list[Any]) -> Iterator[list[Any]]:
    for first in range(0, len(items), MAX_EVALUATIONS):
        yield items[first : first + MAX_EVALUATIONS]
