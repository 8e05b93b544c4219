"""What this process keeps of environments, so that an unchanged one is read, encoded and parsed once.

An entry is good for exactly one version. Whoever asks has just read the environment's present version from its row, so
nothing here can be stale, and nothing has to be told when something changes.
"""

import gzip
import hashlib
from collections import OrderedDict
from functools import cached_property
from threading import Lock

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

from evaluation import document
from evaluation.document import EnvironmentDocument, Version
from evaluation.evaluator import Evaluator, Flag
from evaluation.shapes import FlagShapes, encode
from evaluation.snapshot import snapshot
from realtime.monitoring.metrics import Counter, LockedValue

# Builds of different environments may share a lock, which costs one of them a wait. A lock for each environment would
# have to be thrown away some time.
LOCKS = 64

# Memory that an entry takes, for each byte of its encoded document and for each feature state that is evaluated.
# Measured (tracemalloc): 15 kB with 55 states take 150 kB, 179 kB with 600 states take 1.7 MB, 1.1 MB with 55 states
# and the overrides of 2,000 identities take 4.3 MB; the texts of identities' flags come on top.
BYTES_FOR_BYTE = 4
BYTES_FOR_STATE = 2_200


# Bytes that fit into one packet of the network with their headers.
ONE_PACKET = 1_200


class Body:
    """An answer's body, which is compressed once, when somebody first wants it so."""

    def __init__(self, encoded: bytes) -> None:
        self.encoded = encoded

    @cached_property
    def packed(self) -> bytes | None:
        """By gzip. None where that saves no packet."""
        return gzip.compress(self.encoded, mtime=0) if len(self.encoded) > ONE_PACKET else None

    @cached_property
    def etag(self) -> str:
        """Of the bytes themselves, so it is good for another process too. Weak: the packed body has the same one."""
        return f'W/"{hashlib.blake2b(self.encoded, digest_size=16).hexdigest()}"'


class Entry:
    """All that requests need of an environment at one version. Made when first asked for, then shared by threads."""

    def __init__(self, document: EnvironmentDocument) -> None:
        self.document = document
        self.document_body = Body(encode(document.content).encode())
        """Of ``environment-document/``."""

    @property
    def version(self) -> Version:
        return self.document.version

    @property
    def size(self) -> int:
        """Bytes of memory, for the cache's limit: an estimate that also holds once everything below is made."""
        content = self.document.content
        states = len(content["feature_states"])
        states += sum(len(segment["feature_states"]) for segment in content["project"]["segments"])
        return BYTES_FOR_BYTE * len(self.document_body.encoded) + BYTES_FOR_STATE * states

    @cached_property
    def evaluator(self) -> Evaluator:
        return Evaluator(self.document)

    @cached_property
    def shapes(self) -> FlagShapes:
        return FlagShapes(self.document)

    @cached_property
    def flags(self) -> Body:
        """Of ``flags/``, for applications, which have a client key."""
        return self._flags(server=False)

    @cached_property
    def flags_for_servers(self) -> Body:
        if self.document.content["project"]["server_key_only_feature_ids"]:
            return self._flags(server=True)
        return self.flags

    def visible(self, flags: list[Flag], server: bool) -> list[Flag]:
        """Those that the caller may see: disabled ones can be hidden, and some features are for servers only."""
        hides_disabled = self.document.hides_disabled_flags
        if not hides_disabled and (server or not self.document.content["project"]["server_key_only_feature_ids"]):
            return flags
        return [
            flag
            for flag in flags
            if (flag.state.enabled or not hides_disabled) and (server or not flag.state.feature.is_server_key_only)
        ]

    def _flags(self, server: bool) -> Body:
        flags = self.visible(self.evaluator.environment_flags(), server)
        return Body(encode([self.shapes.flag(flag) for flag in flags]).encode())


class DocumentCache:
    """The entries that were used last, ``DOCUMENT_CACHE_BYTES`` at most. One for each environment: its newest."""

    def __init__(self) -> None:
        self._entries: OrderedDict[int, Entry] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()
        self._building = tuple(Lock() for _ in range(LOCKS))

    def entry(self, version: Version, *, bounded: bool = False) -> Entry:
        """The environment at this version or at a newer one. Raises Environment.DoesNotExist; ``TooExpensive`` if the
        environment is expensive and ``bounded`` is set.

        Those who ask for the same version at the same time wait for one of them to build it. Inside of a transaction
        nothing is shared: what it sees may never be committed.
        """
        if connections[DEFAULT_DB_ALIAS].in_atomic_block:
            return Entry(document.build(document.read_head(version.environment_id)))
        if (found := self.find(version)) is not None:
            return found
        with self._building[version.environment_id % LOCKS]:
            return self.find(version) or self._build(version.environment_id, bounded)

    @property
    def bytes(self) -> int:
        """What the entries take, as they estimate it themselves."""
        return self._bytes

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._bytes = 0

    def find(self, version: Version) -> Entry | None:
        """The environment at exactly this version, if it is kept. Not for use inside of a transaction."""
        with self._lock:
            entry = self._entries.get(version.environment_id)
            if entry is None or entry.version != version:
                return None
            hits.add()
            self._entries.move_to_end(version.environment_id)
            return entry

    def _build(self, environment_id: int, bounded: bool) -> Entry:
        with snapshot():
            head = document.read_head(environment_id)
            # Changed since the caller looked, and another has already built what it changed to.
            if (found := self.find(head.version)) is not None:
                return found
            built = document.build(head, bounded=bounded)
        entry = Entry(built)
        self._keep(entry)
        return entry

    def _keep(self, entry: Entry) -> None:
        with self._lock:
            misses.add()
            self._forget(entry.version.environment_id)
            if entry.size > settings.DOCUMENT_CACHE_BYTES:
                return
            self._entries[entry.version.environment_id] = entry
            self._bytes += entry.size
            while self._bytes > settings.DOCUMENT_CACHE_BYTES:
                self._forget(next(iter(self._entries)))

    def _forget(self, environment_id: int) -> None:
        if (entry := self._entries.pop(environment_id, None)) is not None:
            self._bytes -= entry.size


# Flagsmith's name for it.
_queries = Counter(
    "flagsmith_environment_document_cache_queries",
    "Looks into the cache of environment documents: found, or built.",
    "result",
    ("hit", "miss"),
    kind=LockedValue,
)
hits, misses = _queries["hit"], _queries["miss"]

documents = DocumentCache()
"""This process's."""
