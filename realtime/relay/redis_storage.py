"""Storage of documents in Redis, which the processes of all machines share."""

import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from realtime import redis_clients
from realtime.relay.document import Stored
from realtime.relay.storage import Found, Storage, StorageError
from realtime.types import EPOCH, TICK, EnvironmentKey, UpdatedAt

PREFIX = "{flagsmith-realtime}:relay:"
DOCUMENTS = PREFIX + "documents"
VERSIONS = PREFIX + "versions"
CONFIRMED = PREFIX + "confirmed"
CLAIM = PREFIX + "claim:"

TIMEOUTS = {"socket_timeout": 2.0, "socket_connect_timeout": 1.0}

STORE = """
local stored = redis.call('HGET', KEYS[2], ARGV[1])
if stored and tonumber(stored) >= tonumber(ARGV[2]) then
    return 0
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[4])
redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[3])
return 1
"""


class RedisStorage(Storage):
    def __init__(self) -> None:
        self._connecting = threading.Lock()
        self._client: Any = None

    def newer(self, known: Mapping[EnvironmentKey, UpdatedAt]) -> dict[EnvironmentKey, Found]:
        if not known:
            return {}
        keys = list(known)
        with self._redis() as redis:
            versions, confirmed = redis.hmget(VERSIONS, keys), redis.hmget(CONFIRMED, keys)
            found: dict[EnvironmentKey, Found] = {}
            for key, version, at in zip(keys, versions, confirmed, strict=True):
                if version is None:
                    continue
                stored_version = EPOCH + timedelta(microseconds=int(version))
                content = redis.hget(DOCUMENTS, key) if stored_version > known[key] else None
                found[key] = Found(float(at or 0), stored_version, _parse(content) if content else None)
        return found

    def store(self, key: EnvironmentKey, stored: Stored) -> None:
        version = (stored.version - EPOCH) // TICK
        content = json.dumps(stored.header()).encode() + b"\n" + stored.body
        with self._redis() as redis:
            redis.eval(STORE, 3, DOCUMENTS, VERSIONS, CONFIRMED, key, version, repr(stored.stored_at), content)

    def confirm(self, key: EnvironmentKey, at: float) -> None:
        with self._redis() as redis:
            redis.hset(CONFIRMED, key, repr(at))

    def claim(self, name: str, seconds: float) -> bool:
        with self._redis() as redis:
            return bool(redis.set(CLAIM + name, "1", nx=True, px=max(1, round(seconds * 1_000))))

    def release(self, name: str) -> None:
        with self._redis() as redis:
            redis.delete(CLAIM + name)

    @contextmanager
    def _redis(self) -> Iterator[Any]:
        try:
            with self._connecting:
                if self._client is None:
                    self._client = redis_clients.connect(TIMEOUTS, retries=1)
            yield self._client
        except redis_clients.errors() as error:
            raise StorageError(f"{type(error).__name__}: {error}") from error


def _parse(content: bytes) -> Stored | None:
    header, _, body = content.partition(b"\n")
    try:
        return Stored.parse(json.loads(header), body)
    except (ValueError, TypeError):
        # It is replaced by the next document.
        return None
