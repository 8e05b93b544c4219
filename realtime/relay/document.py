"""An environment document that the relay holds: validated, with its version, compiled and encoded.

Everything here may take long for a large document, so it runs in threads.

**The version.** It is the upstream's ``updated_at``. A Flagsmith does not raise it for every change (a multivariate
option, ``hide_disabled_flags``). If the content has changed and the upstream's version is not newer than ours, the
relay chooses one by the rule of the product: the clock's time, at least 1 µs more than the version before, and a
microsecond that no SDK reads as newer than itself. ``updated_at`` in the document that the relay serves is then this
version, so that event, header and document agree.

A Flagsmith's version may also go back: a task that runs late writes the time of its own, earlier change.
``environments.py`` decides whether a document with an older version is such a one, which has newer content, or comes
from a cache or a replica that lags.
"""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from math import inf
from typing import Any, NamedTuple, Self, cast

from realtime.answers import KEY_HEADER, Answer, Response, version_headers
from realtime.evaluation import CompiledEnvironment, EnvironmentDocument, Identity, patterns
from realtime.evaluation.decoding import decode
from realtime.evaluation.processor_time import thread_time
from realtime.reads.environment import ServedEnvironment
from realtime.relay import responding
from realtime.relay.configuration import SERVER_KEY_PREFIX
from realtime.relay.upstream import UpstreamError
from realtime.types import EPOCH, TICK, EnvironmentKey, EnvironmentState, UpdatedAt, epoch_seconds, first_readable

# Fields of a Flagsmith's document that differ in each response: it makes them up for identities that it stores in its
# SQL database. ``updated_at`` is compared separately.
VOLATILE = frozenset(("identity_uuid", "created_date", "updated_at"))

# Fields of a stored document.
VERSIONS = ("version", "source_version")

# An identity of such an environment is evaluated in a thread, so that it does not delay those of other environments.
MAX_FEATURES = 2_000
MAX_CONDITIONS = 2_000
MAX_EVALUATION_SECONDS = 0.005

REGEX = "REGEX"

# JSONPaths that read one value. Others can take any time.
SIMPLE_PATH = re.compile(r"\$\.(identity\.(identifier|key|traits\.\w+)|environment\.(name|key))")


class Stored(NamedTuple):
    """A document with its version, as it is stored."""

    version: UpdatedAt
    source_version: UpdatedAt
    """The upstream's ``updated_at``. 1970: it has none."""

    raw_digest: str
    """Of the bytes that the upstream has sent."""

    last_modified: int
    """Unix time in whole seconds for HTTP, which rises with each version."""

    stored_at: float
    body: bytes
    """The document as the relay serves it."""

    def encode(self) -> bytes:
        """A line of JSON with all but the body, and the body."""
        times = {name: getattr(self, name).isoformat() for name in VERSIONS}
        return json.dumps({**self._asdict(), **times, "body": _digest(self.body)}).encode() + b"\n" + self.body

    @classmethod
    def decode(cls, line: bytes, body: bytes) -> Self:
        """The inverse of ``encode``. Raises ValueError if it is damaged."""
        try:
            header = json.loads(line)
            values = {name: header[name] for name in cls._fields}
            if values["body"] != _digest(body):
                raise ValueError("the document is truncated or damaged")
            versions = {name: datetime.fromisoformat(values[name]) for name in VERSIONS}
            return cls(**{**values, **versions, "body": body})
        except (KeyError, TypeError) as error:
            raise ValueError(f"no stored document: {error!r}") from error


Rendered = dict[tuple[bool, bytes], Response]
"""Responses by whether they are compressed, and their CORS headers."""


class HeldDocument(ServedEnvironment):
    """A document in memory, compiled, with the responses that are equal for all clients.

    Server-side keys get disabled flags even if the project hides them, as in the Edge Proxy; a Flagsmith hides them
    from both.
    """

    def __init__(self, key: EnvironmentKey, stored: Stored, document: dict[str, Any], always_streams: bool) -> None:
        """Compile a document, and encode its responses. Raises an exception if it cannot be evaluated."""
        compiled = CompiledEnvironment(cast(EnvironmentDocument, document), shows_disabled_to_server_keys=True)
        revision = f"{stored.raw_digest} {epoch_seconds(stored.version)}"
        super().__init__(compiled, stored.body, stored.version, stored.last_modified, revision)
        project = document["project"]
        self.key = key
        self.stored = stored
        self.individual_headers = version_headers(stored.version, KEY_HEADER)
        self.streaming_enabled = always_streams or bool(project.get("enable_realtime_updates"))
        # With a server-side key in place of the client-side key, streams are at a path with the server-side key.
        self.names_streams = self.streaming_enabled and key == document["api_key"]
        self.is_served = not project.get("organisation", {}).get("stop_serving_flags")
        """The organisation has flags served. Only OFREP depends on it: the Edge Proxy serves every document."""

        self.allows_client_traits = bool(document.get("allow_client_traits", True))
        self.feature_names = frozenset(compiled.evaluator.environment_flags)
        self.rendered_flags: tuple[Rendered, Rendered] = {}, {}
        """Responses with all flags, by whether the key is server-side."""

        # Make the shared answers here, in a thread.
        _ = self.flags(False), self.flags(True), self.document_answer
        seconds = _evaluation_seconds(compiled)
        conditions = [condition for segment in project["segments"] for condition in _conditions(segment["rules"])]
        self.has_patterns = any(condition["operator"] == REGEX for condition in conditions)
        """Conditions have regular expressions, whose time depends on what clients send."""

        self.is_expensive = (
            len(self.feature_names) > MAX_FEATURES
            or len(conditions) > MAX_CONDITIONS
            or seconds > MAX_EVALUATION_SECONDS
            or any(_is_query(condition) for condition in conditions)
        )
        """Identities are evaluated in a thread."""

    @property
    def version(self) -> UpdatedAt:
        return self.stored.version

    @property
    def state(self) -> EnvironmentState:
        return EnvironmentState(self.key, self.stored.version, self.streaming_enabled)

    def feature_not_found(self, feature: str | None) -> Answer:
        return responding.json_answer(404, {"status": "not_found", "message": f"feature '{feature}' not found"})


def receive(
    key: EnvironmentKey,
    raw: bytes,
    held: HeldDocument | None,
    *,
    at_least: UpdatedAt = EPOCH,
    always_streams: bool = False,
) -> HeldDocument | None:
    """Hold the document in a response of the upstream. None: nothing in it is newer than in the held one.

    ``at_least``: the version of the content, if the document has an older one. Raises UpstreamError.
    """
    raw_digest = _digest(raw)
    before = held.stored if held is not None else None
    if before is not None and raw_digest == before.raw_digest:
        return None
    document = _parse(key, raw)
    named_version = _source_version(document)
    source_version = max(named_version, at_least)
    if before is not None and source_version <= before.source_version:
        if _is_equal(document, before.body):
            return None
        if source_version < before.source_version:
            reason = f"{source_version.isoformat()} is older than {before.source_version.isoformat()}"
            raise UpstreamError("older", reason, version=source_version)
    version = _version(source_version, before)
    body = raw
    if version != named_version:
        document["updated_at"] = version.isoformat()
        body = json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()
    date = max(int(version.timestamp()), before.last_modified + 1 if before is not None else 0)
    stored = Stored(version, source_version, raw_digest, date, time.time(), body)
    return _hold(key, stored, document, always_streams)


def restore(key: EnvironmentKey, stored: Stored, *, always_streams: bool = False) -> HeldDocument:
    """Hold a stored document. Raises UpstreamError."""
    return _hold(key, stored, _parse(key, stored.body), always_streams)


def _hold(key: EnvironmentKey, stored: Stored, document: dict[str, Any], always_streams: bool) -> HeldDocument:
    try:
        return HeldDocument(key, stored, document, always_streams)
    except Exception as error:
        raise UpstreamError("invalid", f"it cannot be evaluated: {error!r}") from error


def _evaluation_seconds(compiled: CompiledEnvironment) -> float:
    """The processor time of an evaluation, without garbage collections, after one that creates what is cached."""
    try:
        compiled.identity(Identity("relay"), False)
        began = thread_time()
        compiled.identity(Identity("relay"), False)
        return thread_time() - began
    except patterns.TimeLimitExceeded:
        return inf


def _version(source_version: UpdatedAt, before: Stored | None) -> UpdatedAt:
    if before is None:
        return source_version if source_version > EPOCH else first_readable(_now())
    if source_version > before.version:
        return source_version
    return first_readable(max(_now(), before.version + TICK))


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def _now() -> datetime:
    return datetime.now(UTC)


def _parse(key: EnvironmentKey, raw: bytes) -> dict[str, Any]:
    try:
        document: Any = decode(raw)
    except (ValueError, RecursionError) as error:
        raise UpstreamError("invalid", f"it is not JSON: {error}") from None
    project = document.get("project") if isinstance(document, dict) else None
    if not isinstance(project, dict) or not isinstance(document.get("feature_states"), list):
        raise UpstreamError("invalid", "it is no environment document")
    # A server-side key in place of the client-side key, which the Edge Proxy accepts, is not in the document.
    if document.get("api_key") != key and not key.startswith(SERVER_KEY_PREFIX):
        raise UpstreamError("foreign", "it is the document of another environment")
    if not isinstance(project.get("segments"), list):
        raise UpstreamError("invalid", "it is no environment document: project.segments is missing")
    parsed: dict[str, Any] = document
    return parsed


def _source_version(document: dict[str, Any]) -> UpdatedAt:
    """``updated_at``, or 1970 if it is missing, as in old releases of Flagsmith."""
    text = document.get("updated_at")
    if text is None:
        return EPOCH
    try:
        time = datetime.fromisoformat(text)
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise UpstreamError("invalid", f"updated_at is no time: {text!r}") from None


def _is_equal(document: dict[str, Any], body: bytes) -> bool:
    """Return whether SDKs read the same from both, apart from the version."""
    return _canonical(document) == _canonical(json.loads(body))


def _canonical(value: Any) -> str:
    """JSON with sorted lists and without volatile fields: PostgreSQL returns rows in any order."""
    if isinstance(value, dict):
        members = (f"{json.dumps(name)}:{_canonical(value[name])}" for name in sorted(value) if name not in VOLATILE)
        return f"{{{','.join(members)}}}"
    if isinstance(value, list):
        return f"[{','.join(sorted(map(_canonical, value)))}]"
    return json.dumps(value)


def _is_query(condition: dict[str, Any]) -> bool:
    path = condition.get("property_") or ""
    return path.startswith("$.") and SIMPLE_PATH.fullmatch(path) is None


def _conditions(rules: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for rule in rules:
        yield from rule.get("conditions") or ()
        yield from _conditions(rule.get("rules") or [])
