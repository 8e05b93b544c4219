"""Storage of documents in Redis, which the processes of all machines share."""

import threading
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from uuid import uuid4

from realtime import redis_clients
from realtime.relay.document import Stored
from realtime.relay.storage import PROCESS_SECONDS, Found, Held, Storage, StorageError, microseconds
from realtime.types import EPOCH, EnvironmentKey, UpdatedAt

PREFIX = "{flagsmith-realtime}:relay:"
DOCUMENTS = PREFIX + "documents"
VERSIONS = PREFIX + "versions"
CONFIRMED = PREFIX + "confirmed"
CLAIM = PREFIX + "claim:"
PROCESSES = PREFIX + "processes"
PROCESS = PREFIX + "process:"

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
        self._process = uuid4().hex

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
        arguments = (key, microseconds(stored.version), repr(stored.stored_at), stored.encode())
        with self._redis() as redis:
            redis.eval(STORE, 3, DOCUMENTS, VERSIONS, CONFIRMED, *arguments)

    def confirm(self, key: EnvironmentKey, at: float) -> None:
        with self._redis() as redis:
            redis.hset(CONFIRMED, key, repr(at))

    def hold(self, held: Held, *, is_all: bool) -> None:
        name = PROCESS + self._process
        with self._redis() as redis, redis.pipeline() as pipeline:
            if is_all:
                pipeline.delete(name)
            # At least one field, so that it exists.
            pipeline.hset(name, mapping={EnvironmentKey(""): 0, **held})
            pipeline.pexpire(name, round(PROCESS_SECONDS * 1_000))
            pipeline.sadd(PROCESSES, self._process)
            pipeline.execute()

    def held_by_others(self, keys: Collection[EnvironmentKey]) -> list[Held]:
        keys = list(keys)
        with self._redis() as redis:
            others = [each for each in map(bytes.decode, redis.smembers(PROCESSES)) if each != self._process]
            with redis.pipeline() as pipeline:
                for other in others:
                    pipeline.hmget(PROCESS + other, "", *keys)
                answers = pipeline.execute()
            ended = [other for other, (lives, *_) in zip(others, answers, strict=True) if lives is None]
            if ended:
                redis.srem(PROCESSES, *ended)
        return [
            {key: int(version) for key, version in zip(keys, held, strict=True) if version is not None}
            for lives, *held in answers
            if lives is not None
        ]

    def leave(self) -> None:
        with self._redis() as redis:
            redis.delete(PROCESS + self._process)
            redis.srem(PROCESSES, self._process)

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
    line, _, body = content.partition(b"\n")
    try:
        return Stored.decode(line, body)
    except ValueError:
        # It is replaced by the next document.
        return None
