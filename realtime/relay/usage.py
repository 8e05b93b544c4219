"""Usage of SDKs: evaluations are added up and sent to the upstream in batches, so that its figures stay right.

A batch that cannot be sent is sent with the next one.
"""

import asyncio
import json
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, NamedTuple

from realtime.relay.forwarding import CLOSE_SECONDS, Forwarder
from realtime.relay.limits import identifier_errors
from realtime.relay.upstream import RawHeaders, Upstream, UpstreamError

INTERVAL_SECONDS = 10.0

# Different counts that are kept. Identifiers are part of a count in version 2.
MAX_COUNTS = 50_000

# In JSON, with the labels of each.
MAX_BYTES = 16 * 1024 * 1024

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


class Usage(Forwarder):
    """The counts of this process that were not sent yet."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(upstream, "usage")
        self._counts: dict[Source, dict[Any, int]] = {}
        self._number = self._bytes = 0
        self._task = asyncio.create_task(self._run())

    def count(self, source: Source, evaluation: Any, number: int) -> None:
        """Add evaluations of a flag."""
        if evaluation not in self._counts.get(source, {}):
            size = _size(source, evaluation)
            if self._number >= MAX_COUNTS or self._bytes + size > MAX_BYTES:
                self._drop(number, f"{self._number} counts with {self._bytes} bytes wait for the upstream")
                return
            self._number += 1
            self._bytes += size
        counts = self._counts.setdefault(source, {})
        counts[evaluation] = min(counts.get(evaluation, 0) + number, MAX_COUNT)

    async def close(self) -> None:
        """Send what is left, for a short time."""
        self._task.cancel()
        with suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._send_all()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(INTERVAL_SECONDS)
            await self._send_all()

    async def _send_all(self) -> None:
        """Send all counts. Those of a failing environment are kept for the next time, all if the upstream is away."""
        self._full.succeeded()
        failing: set[str] = set()
        for source in list(self._counts):
            if source.key not in failing and (error := await self._send_counts(source)) is not None:
                failing.add(source.key)
                if isinstance(error, UpstreamError) and error.result == "unreachable":
                    break
        if not failing:
            self._succeeded()

    async def _send_counts(self, source: Source) -> Exception | None:
        """Send the counts of a source. Returns the error if some were not sent, and are kept."""
        counts = self._counts[source]
        for batch in _batches(list(counts.items()), MAX_COUNTS if source.version == 1 else MAX_EVALUATIONS):
            body = json.dumps(dict(batch) if source.version == 1 else {"evaluations": _evaluations(batch)}).encode()
            error = await self._send("POST", "analytics/flags/", source.key, body, source.labels, source.version)
            if error is not None:
                # Next time, the others are sent before.
                self._counts[source] = self._counts.pop(source)
                return error
            for evaluation, number in batch:
                counts[evaluation] -= number
                if not counts[evaluation]:
                    del counts[evaluation]
                    self._number -= 1
                    self._bytes -= _size(source, evaluation)
        if not counts:
            del self._counts[source]
        return None


def _size(source: Source, evaluation: Any) -> int:
    """The bytes of a count."""
    return len(json.dumps(evaluation)) + sum(len(label) for _, label in source.labels)


def _evaluations(batch: list[tuple[Any, int]]) -> list[dict[str, Any]]:
    """Counts in the format of version 2."""
    names = ("feature_name", "identity_identifier", "enabled_when_evaluated")
    return [{**dict(zip(names, evaluation, strict=True)), "count": number} for evaluation, number in batch]


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
    identifier = item.get("identity_identifier")
    if not isinstance(identifier, str | None):
        found["identity_identifier"] = ["Not a valid string."]
    elif identifier and (texts := identifier_errors(identifier)):
        found["identity_identifier"] = texts
    return found


def _is_count(number: Any) -> bool:
    return type(number) is int and 0 < number <= MAX_COUNT


def _batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    for first in range(0, len(items), size):
        yield items[first : first + size]
