"""Traits that SDKs store: checked as Flagsmith does, and with ``RELAY_TRAITS=forward`` sent to the upstream."""

import asyncio
from typing import Any, NamedTuple

from realtime.relay.forwarding import CLOSE_SECONDS, Forwarder
from realtime.relay.upstream import Upstream, UpstreamError
from realtime.waiting import wait_for_event

QUEUES = 4

# Requests that wait in a queue, and the bytes of their bodies. Beyond that, the oldest is dropped.
MAX_QUEUED = 2_500
MAX_QUEUED_BYTES = 8 * 1024 * 1024

MAX_TRAIT_LENGTH = 2_000

FIRST_RETRY_SECONDS = 0.5
MAX_RETRY_SECONDS = 10.0

REQUIRED = ["This field is required."]

NOT_ALLOWED = {"non_field_errors": ["Setting traits not allowed with client key."]}
NOT_ALLOWED_IN_BULK = {"detail": "Unable to set traits with client key."}


class TraitRequest(NamedTuple):
    """A request with traits, as the SDK has sent it."""

    method: str
    path: str
    """Below the upstream's URL."""

    key: str
    identifier: str
    """Of the first identity in it."""

    body: bytes


class TraitForwarder:
    """Sends requests with traits to the upstream. Those of one identity keep their order."""

    def __init__(self, upstream: Upstream) -> None:
        self._queues = [_Queue(upstream) for _ in range(QUEUES)]

    def add(self, request: TraitRequest) -> None:
        """Send this request later."""
        self._queues[hash((request.key, request.identifier)) % QUEUES].add(request)

    async def close(self) -> None:
        """Send what is left, for a short time."""
        await asyncio.gather(*(queue.close() for queue in self._queues))


class _Queue(Forwarder):
    """Sends one request after the other. Equal requests that wait are sent once."""

    def __init__(self, upstream: Upstream) -> None:
        super().__init__(upstream, "traits")
        self._waiting: dict[TraitRequest, None] = {}
        self._bytes = 0
        self._added = asyncio.Event()
        self._idle = asyncio.Event()
        self._task = asyncio.create_task(self._run())

    def add(self, request: TraitRequest) -> None:
        if request in self._waiting:
            self._remove(request)
        size = len(request.body)
        while len(self._waiting) >= MAX_QUEUED or (self._waiting and self._bytes + size > MAX_QUEUED_BYTES):
            self._drop(1, f"{len(self._waiting)} requests with {self._bytes} bytes wait for the upstream")
            self._remove(next(iter(self._waiting)))
        self._waiting[request] = None
        self._bytes += size
        self._idle.clear()
        self._added.set()

    def _remove(self, request: TraitRequest) -> None:
        del self._waiting[request]
        self._bytes -= len(request.body)

    async def close(self) -> None:
        if not self._failures.is_failing:
            await wait_for_event(self._idle, CLOSE_SECONDS)
        self._task.cancel()

    async def _run(self) -> None:
        while True:
            if not self._waiting:
                self._full.succeeded()
                self._idle.set()
                self._added.clear()
                await self._added.wait()
            method, path, key, _, body = request = next(iter(self._waiting))
            self._remove(request)
            pause = FIRST_RETRY_SECONDS
            while isinstance(error := await self._send(method, path, key, body), UpstreamError):
                await asyncio.sleep(pause)
                pause = min(2 * pause, MAX_RETRY_SECONDS)
            if error is None:
                self._succeeded()
            else:
                self._dropped.add()


def errors(trait: Any, *, allow_null: bool) -> dict[str, Any]:
    """The errors of a posted trait in the format of Django REST framework; empty if it is valid."""
    if not isinstance(trait, dict):
        return {"non_field_errors": [f"Invalid data. Expected a dictionary, but got {type(trait).__name__}."]}
    found: dict[str, Any] = {}
    identity = trait.get("identity")
    if identity is None:
        found["identity"] = REQUIRED
    elif not isinstance(identity, dict):
        found["identity"] = {"non_field_errors": ["Invalid data. Expected a dictionary."]}
    elif text := _text_errors(identity, "identifier"):
        found["identity"] = {"identifier": text}
    if text := _text_errors(trait, "trait_key"):
        found["trait_key"] = text
    value = trait.get("trait_value")
    if "trait_value" not in trait:
        found["trait_value"] = REQUIRED
    elif value is None and not allow_null:
        found["trait_value"] = ["This field may not be null."]
    elif value is not None and not isinstance(value, str | int | float | bool):
        found["trait_value"] = ["Not a valid trait value."]
    elif isinstance(value, str) and len(value) > MAX_TRAIT_LENGTH:
        found["trait_value"] = [f"Value string is too long. Must be less than {MAX_TRAIT_LENGTH} character"]
    return found


def _text_errors(values: dict[str, Any], name: str) -> list[str]:
    if name not in values:
        return REQUIRED
    value = values[name]
    if not isinstance(value, str) and (not isinstance(value, int | float) or isinstance(value, bool)):
        return ["Not a valid string."]
    return [] if str(value).strip() else ["This field may not be blank."]


def answer(trait: dict[str, Any]) -> dict[str, Any]:
    """Flagsmith's answer to a stored trait."""
    return {
        "identity": {"identifier": str(trait["identity"]["identifier"])},
        "trait_value": trait["trait_value"],
        "trait_key": str(trait["trait_key"]),
    }
