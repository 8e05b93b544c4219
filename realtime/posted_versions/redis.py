"""The store in Redis (6.2 or newer), or Valkey: any number of processes need no database.

Two sorted sets, with environments' keys as members: their versions, and the times when these were received. Both are
in one slot of a cluster. A script compares and writes in one step, and each process reads what changed by the second
set, so the cost depends on the number of changes: no KEYS, no SCAN.

Each process also keeps a copy. It serves new streams while Redis is away, and refills a Redis that comes back empty, or
that has lost its last writes in a failover.
"""

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import suppress
from datetime import datetime, timedelta
from itertools import islice
from typing import Any

import structlog
from django.utils import timezone

from realtime import redis_clients
from realtime.hosts import StoreError, StoreHealth, Versions, VersionStore
from realtime.types import EPOCH, TICK, EnvironmentKey, UpdatedAt

logger = structlog.get_logger(__name__)

VERSIONS = "{flagsmith-realtime}:versions"
RECEIVED = "{flagsmith-realtime}:received"

CHECK_CHANNEL = "flagsmith-realtime-check"
"""Messages to it have no receiver. They show at start that publishing is allowed."""

# Beyond this number, those received least recently are removed. Redis takes 26 MB for it, each process 13 MB.
MAX_ENVIRONMENTS = 100_000

# Flagsmith gives up a post after 2 s. A post that meets a dead connection connects again, and fails then.
TIMEOUTS = {"socket_timeout": 0.7, "socket_connect_timeout": 0.7}

# Entries of one command, so that none takes Redis longer than about a millisecond.
BATCH = 1_000

# Versions are microseconds since the epoch, which a double holds exactly. ``redis.call`` passes numbers with 17 digits.
NOW = "local time = redis.call('TIME')\nlocal now = time[1] * 1000000 + time[2]\n"

STORE = (
    NOW
    + """
local newer = {}
for i = 2, #ARGV, 2 do
    if redis.call('ZADD', KEYS[1], 'GT', 'CH', ARGV[i + 1], ARGV[i]) == 1 then
        redis.call('ZADD', KEYS[2], now, ARGV[i])
        newer[#newer + 1] = ARGV[i]
    end
end
local excess = redis.call('ZCARD', KEYS[2]) - ARGV[1]
if excess > 0 then
    local removed = redis.call('ZPOPMIN', KEYS[2], excess)
    for i = 1, #removed, 2 do
        redis.call('ZREM', KEYS[1], removed[i])
    end
end
return newer
"""
)

# The number of environments, and of those received in the last ARGV[1] microseconds the keys and versions.
CHANGED = (
    NOW
    + """
local changed = {redis.call('ZCARD', KEYS[1])}
for _, key in ipairs(redis.call('ZRANGEBYSCORE', KEYS[2], now - ARGV[1], '+inf')) do
    changed[#changed + 1] = key
    changed[#changed + 1] = redis.call('ZSCORE', KEYS[1], key)
end
return changed
"""
)


class RedisStore(VersionStore):
    """Raises StoreError. A read of environments that the copy has does not fail."""

    is_read_without_streams = True

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._connecting = threading.Lock()
        self._client: Any = None
        self._copy: dict[EnvironmentKey, int] = {}
        self._is_complete = False
        """The copy has what Redis has, except for what ``changed_since`` returns next."""
        self._health = StoreHealth("redis", False, False, timezone.now())

    def read(self, keys: Collection[EnvironmentKey]) -> Versions:
        asked = list(keys)
        try:
            found = self._scores(asked)
        except StoreError:
            copies = {key: self._copy[key] for key in asked if key in self._copy}
            if len(copies) < len(asked):
                raise
            return _datetimes(copies)
        lost = self._merge(found, asked)
        if lost:
            # The next reconcile tries again.
            with suppress(StoreError):
                self._write(lost)
        return _datetimes({**found, **lost})

    def changed_since(self, moment: datetime) -> Versions:
        """By Redis's clock. Reads everything, and writes what Redis lacks, if the copy shows that something is missing.

        The first call reads everything too, and so does the one after a new connection: Redis may have been restarted,
        or replaced in a failover.
        """
        if not self._is_complete:
            return self._read_all()
        count, *flat = self._run(CHANGED, [(timezone.now() - moment) // TICK])
        changed = _pairs(flat)
        unknown = sum(key not in self._copy for key in changed)
        if not self._is_complete or count != len(self._copy) + unknown:
            return self._read_all()
        self._merge(changed)
        return _datetimes(changed)

    def store_newer(self, versions: Mapping[EnvironmentKey, UpdatedAt]) -> list[EnvironmentKey]:
        microseconds = {key: (updated_at - EPOCH) // TICK for key, updated_at in versions.items()}
        newer = self._write(microseconds)
        self._merge(microseconds)
        return newer

    def health(self) -> StoreHealth:
        return self._health

    def _read_all(self) -> Versions:
        before = dict(self._copy)
        self._is_complete = True
        everything: dict[EnvironmentKey, int] = {}
        try:
            first = 0
            while page := self._call("zrange", VERSIONS, first, first + BATCH - 1, withscores=True):
                everything |= {_text(key): int(score) for key, score in page}
                first += BATCH
            lost = {key: version for key, version in before.items() if version > everything.get(key, -1)}
            if len(everything) >= MAX_ENVIRONMENTS:
                # Redis has not lost these, but removed them.
                removed = [key for key in lost if key not in everything]
                for key in removed:
                    del lost[key]
                    self._copy.pop(key, None)
            if lost:
                logger.warning("store_refilled", store="redis", environments=len(lost))
                self._write(lost)
        except StoreError:
            self._is_complete = False
            raise
        # After the last call that may fail, because what is merged is not returned again.
        self._merge(everything)
        if not self._health.has_been_read:
            logger.info("store_read", store="redis", environments=len(everything))
            self._set_health(has_been_read=True)
        return _datetimes({key: version for key, version in dict(self._copy).items() if version > before.get(key, -1)})

    def _scores(self, keys: list[EnvironmentKey]) -> dict[EnvironmentKey, int]:
        found: dict[EnvironmentKey, int] = {}
        for batch in _batches(keys):
            scores = self._call("zmscore", VERSIONS, batch)
            found |= {key: int(score) for key, score in zip(batch, scores, strict=True) if score is not None}
        return found

    def _write(self, versions: Mapping[EnvironmentKey, int]) -> list[EnvironmentKey]:
        newer: list[EnvironmentKey] = []
        for batch in _batches(versions):
            arguments: list[Any] = [MAX_ENVIRONMENTS]
            for key in batch:
                arguments += (key, versions[key])
            newer += [_text(key) for key in self._run(STORE, arguments)]
        return newer

    def _merge(
        self, versions: Mapping[EnvironmentKey, int], asked: Collection[EnvironmentKey] = ()
    ) -> dict[EnvironmentKey, int]:
        """Raise the copy to these versions. Returns the versions of ``asked`` that are greater in the copy."""
        with self._lock:
            copy = self._copy
            for key, version in versions.items():
                if version > copy.get(key, -1):
                    copy[key] = version
            return {key: copy[key] for key in asked if copy.get(key, -1) > versions.get(key, -1)}

    def _run(self, script: str, arguments: list[Any]) -> list[Any]:
        result: list[Any] = self._call("eval", script, 2, VERSIONS, RECEIVED, *arguments)
        return result

    def _call(self, command: str, *arguments: Any, **options: Any) -> Any:
        """Call the client's method. The client reconnects if Redis had closed a connection."""
        try:
            if self._client is None:
                with self._connecting:
                    self._client = self._client or redis_clients.connect(TIMEOUTS, 1, self._on_connect)
            result = getattr(self._client, command)(*arguments, **options)
        except redis_clients.errors() as error:
            self._is_complete = False
            # The representations of redis-py's errors have no message.
            text = f"{type(error).__name__}: {error}"
            if self._health.is_available or not self._health.last_error:
                logger.warning("store_unavailable", store="redis", error=text)
            self._set_health(is_available=False, last_error=text)
            raise StoreError(text) from error
        if not self._health.is_available:
            logger.info("store_available", store="redis")
            self._set_health(is_available=True)
        return result

    def _on_connect(self) -> None:
        self._is_complete = False

    def _set_health(self, **changes: Any) -> None:
        before = self._health
        values = {**vars(before), **changes}
        if values["is_available"] != before.is_available:
            values["since"] = timezone.now()
        self._health = StoreHealth(**values)


def _batches(keys: Collection[EnvironmentKey]) -> Iterator[list[EnvironmentKey]]:
    remaining = iter(keys)
    while batch := list(islice(remaining, BATCH)):
        yield batch


def _pairs(flat: list[bytes]) -> dict[EnvironmentKey, int]:
    return {_text(key): int(float(score)) for key, score in zip(flat[::2], flat[1::2], strict=True)}


def _text(key: bytes) -> EnvironmentKey:
    return EnvironmentKey(key.decode())


def _datetimes(versions: Mapping[EnvironmentKey, int]) -> Versions:
    return {key: EPOCH + timedelta(microseconds=version) for key, version in versions.items()}
