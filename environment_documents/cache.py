"""Cache of environments by version, so that an unchanged environment is read, evaluated and encoded once.

An entry has the compiled document of an environment, and the responses that all its clients share. It is valid for
exactly one version. A caller passes the version that it has just read from the environment's row, so the cache never
returns a stale entry and needs no invalidation.
"""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

from environment_documents import document
from environment_documents.document import Version, VersionedDocument
from environment_documents.snapshot import snapshot
from realtime.answers import Answer
from realtime.evaluation import CompiledEnvironment
from realtime.monitoring.metrics import Counter
from realtime.reads.environment import ServedEnvironment

# Locks for building. Environments share them, so that no lock has to be removed with its environment. If two builds of
# different environments use the same lock, the second waits for the first.
BUILD_LOCKS = 64

# Memory of a compiled document with all that is created lazily: in any case, for each byte of the encoded document, and
# for each feature state that is evaluated. Measured (benchmarks/cache_memory.py, growth of the process for each
# environment with five segments): 34 kB with 3 features, 201 kB with 50, 1.48 MB with 500. The estimates are 36 kB,
# 184 kB and 1.62 MB.
MEMORY_PER_DOCUMENT = 18_000
MEMORY_PER_DOCUMENT_BYTE = 4
MEMORY_PER_FEATURE_STATE = 2_200


class CompiledDocument(ServedEnvironment):
    """An environment document, compiled, with its shared answers, which are created lazily. Threads share it."""

    def __init__(self, document: VersionedDocument) -> None:
        environment = CompiledEnvironment(
            document.content, identity_overrides=document.identity_overrides, stored_fields=document.stored_fields
        )
        body, version = environment.environment_document(), document.version
        super().__init__(environment, body, version.updated_at, document.last_modified, version.revision_name)
        self.document = document
        self.version = version

    @property
    def memory_bytes(self) -> int:
        """Estimated memory, with everything that is created lazily."""
        content = self.document.content
        states = len(content["feature_states"])
        states += sum(len(segment["feature_states"]) for segment in content["project"]["segments"])
        by_size = MEMORY_PER_DOCUMENT_BYTE * len(self.document_body) + MEMORY_PER_FEATURE_STATE * states
        return MEMORY_PER_DOCUMENT + by_size


RenderedAnswers = dict[Any, tuple[bytes, bytes]]
"""Head and body of HTTP/1.1 responses, by the request headers that they depend on."""


class CachedAnswer:
    """An answer that all clients of an environment share, with its rendered forms."""

    __slots__ = ("answer", "rendered")

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.rendered: RenderedAnswers = {}


@dataclass(slots=True)
class Entry:
    """All that is cached of one environment, at one version."""

    version: Version
    compiled: CompiledDocument | None = None
    """None: the evaluation process has the document of an expensive environment, or it is larger than the cache."""

    answers: dict[Hashable, CachedAnswer] = field(default_factory=dict)
    memory_bytes: int = 0
    """Estimated. The estimate for a compiled document includes its answers."""


class EnvironmentCache:
    """The newest known version of the most recently used environments, ``DOCUMENT_CACHE_BYTES`` at most."""

    def __init__(self) -> None:
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        """By environment's primary key, least recently used first."""
        self._memory_bytes = 0
        self._lock = Lock()
        self._build_locks = tuple(Lock() for _ in range(BUILD_LOCKS))

    def get(self, version: Version, *, bounded: bool = False) -> CompiledDocument:
        """The environment at this version or a newer one, from the cache or read from the database.

        Concurrent callers for one version share one build. Inside a transaction nothing is shared, because it may be
        rolled back. Raises Environment.DoesNotExist, and ``TooExpensive`` if ``bounded`` is set and the document is
        expensive.
        """
        if connections[DEFAULT_DB_ALIAS].in_atomic_block:
            return CompiledDocument(document.build(document.read_environment_row(version.environment_id)))
        if (found := self.find(version)) is not None:
            return found
        with self._build_locks[version.environment_id % BUILD_LOCKS]:
            return self.find(version) or self._build(version.environment_id, bounded)

    @property
    def memory_bytes(self) -> int:
        """The estimated memory of all entries."""
        return self._memory_bytes

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._memory_bytes = 0

    def find(self, version: Version) -> CompiledDocument | None:
        """The environment at exactly this version, if it is cached. Not for use inside a transaction."""
        with self._lock:
            entry = self._find(version)
            return self._used(entry).compiled if entry is not None and entry.compiled is not None else None

    def find_answer(self, version: Version, kind: Hashable) -> CachedAnswer | None:
        """The shared answer of this kind at exactly this version, if it is cached."""
        with self._lock:
            entry = self._find(version)
            found = entry.answers.get(kind) if entry is not None else None
            if entry is not None and found is not None:
                self._used(entry)
            return found

    def add_answer(self, version: Version, kind: Hashable, answer: Answer) -> CachedAnswer:
        """Add an answer of this version, and return the cached one of its kind.

        An answer that is older than the environment's entry is not kept: a result of the evaluation process can be
        late.
        """
        with self._lock:
            entry = self._entries.get(version.environment_id)
            if entry is None or entry.version < version:
                entry = Entry(version)
            if entry.version != version:
                return CachedAnswer(answer)
            if (cached := entry.answers.get(kind)) is None:
                cached = CachedAnswer(answer)
                added_bytes = answer.memory_bytes if entry.compiled is None else 0
                if self._keep(entry, entry.memory_bytes + added_bytes):
                    entry.answers[kind] = cached
            return cached

    def _build(self, environment_id: int, bounded: bool) -> CompiledDocument:
        with snapshot():
            environment_row = document.read_environment_row(environment_id)
            # The version may be newer than the caller's, and already built by another thread.
            if (found := self.find(environment_row.version)) is not None:
                return found
            built = document.build(environment_row, bounded=bounded)
        compiled = CompiledDocument(built)
        with self._lock:
            misses.add()
            entry = self._find(built.version) or Entry(built.version)
            if self._keep(entry, compiled.memory_bytes):
                entry.compiled = compiled
        return compiled

    # Only with the lock.

    def _find(self, version: Version) -> Entry | None:
        entry = self._entries.get(version.environment_id)
        return entry if entry is not None and entry.version == version else None

    def _used(self, entry: Entry) -> Entry:
        hits.add()
        self._entries.move_to_end(entry.version.environment_id)
        return entry

    def _keep(self, entry: Entry, memory_bytes: int) -> bool:
        """Add the entry, or what has changed in it, and remove the least recently used ones above the limit.

        Return false, and change nothing, if it exceeds the limit alone: it would replace all others before itself.
        """
        if memory_bytes > settings.DOCUMENT_CACHE_BYTES:
            return False
        environment_id = entry.version.environment_id
        self._remove(environment_id)
        entry.memory_bytes = memory_bytes
        self._entries[environment_id] = entry
        self._memory_bytes += memory_bytes
        while self._memory_bytes > settings.DOCUMENT_CACHE_BYTES:
            self._remove(next(iter(self._entries)))
        return True

    def _remove(self, environment_id: int) -> None:
        if (entry := self._entries.pop(environment_id, None)) is not None:
            self._memory_bytes -= entry.memory_bytes


# The metric has the name that Flagsmith gives it.
_queries = Counter(
    "flagsmith_environment_document_cache_queries",
    "Lookups in the cache of environment documents: found (hit) or built (miss).",
    "result",
    ("hit", "miss"),
)
hits, misses = _queries["hit"], _queries["miss"]

environment_cache = EnvironmentCache()
"""The cache of this process."""
