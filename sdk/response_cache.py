"""Cache of the responses that are equal for all clients of an environment: ``flags/`` and the environment document.

Entries are valid for one version, as in ``evaluation.cache``: callers pass the version that they have just read from
the environment's row, so the cache never returns a stale response.
"""

from collections import OrderedDict
from functools import partial
from threading import Lock
from typing import Any, NamedTuple, Self

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections

from evaluation import isolation
from evaluation.cache import hits
from evaluation.document import Version
from evaluation.isolation import Work, WorkResult
from realtime.http.responses import EncodedResponse
from sdk import responses
from sdk.authentication import SDKClient


class ResponseKey(NamedTuple):
    """The cache key of a response, and all that is needed to build it."""

    version: Version
    organisation_id: int
    server_side: bool
    """Includes server-side flags. Always true for the document."""

    is_document: bool = False

    @classmethod
    def for_flags(cls, client: SDKClient) -> Self:
        return cls(client.version, client.organisation_id, client.server_side)

    @classmethod
    def for_document(cls, client: SDKClient) -> Self:
        return cls(client.version, client.organisation_id, True, is_document=True)

    @property
    def work(self) -> Work[EncodedResponse]:
        """The computation of the response."""
        return responses.document if self.is_document else partial(responses.flags, server_side=self.server_side)


RenderedResponses = dict[Any, tuple[bytes, bytes]]
"""Head and body of HTTP/1.1 responses, by the request headers that they depend on."""


class CachedResponse:
    """A response in the cache, with its rendered forms."""

    __slots__ = ("rendered", "response")

    def __init__(self, response: EncodedResponse) -> None:
        self.response = response
        self.rendered: RenderedResponses = {}


class ResponseCache:
    """The responses of the most recently used environments, ``DOCUMENT_CACHE_BYTES`` at most."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._entries: OrderedDict[int, tuple[Version, dict[tuple[bool, bool], CachedResponse]]] = OrderedDict()
        """By environment's primary key: the version, and its responses by ``server_side`` and ``is_document``."""
        self._memory_bytes = 0

    def find(self, key: ResponseKey) -> CachedResponse | None:
        with self._lock:
            version, cached = self._entries.get(key.version.environment_id, (None, {}))
            found = cached.get(key[2:]) if version == key.version else None
            if found is not None:
                hits.add()
                self._entries.move_to_end(key.version.environment_id)
            return found

    def add(self, key: ResponseKey, result: WorkResult[EncodedResponse]) -> CachedResponse:
        """Add a response under its own version, which may be newer than the key's."""
        environment_id = result.version.environment_id
        with self._lock:
            version, cached = self._entries.get(environment_id, (None, {}))
            if version != result.version:
                self._remove(environment_id)
                cached = {}
                self._entries[environment_id] = result.version, cached
            if key[2:] not in cached:
                cached[key[2:]] = CachedResponse(result.value)
                self._memory_bytes += result.value.memory_bytes
            added = cached[key[2:]]
            while self._memory_bytes > settings.DOCUMENT_CACHE_BYTES:
                self._remove(next(iter(self._entries)))
        return added

    def clear(self) -> None:
        with self._lock:
            self._entries.clear()
            self._memory_bytes = 0

    def _remove(self, environment_id: int) -> None:
        _, cached = self._entries.pop(environment_id, (None, {}))
        self._memory_bytes -= sum(each.response.memory_bytes for each in cached.values())


cached_responses = ResponseCache()
"""The cache of this process."""


def get_response(key: ResponseKey) -> EncodedResponse:
    """The response, from the cache or newly built. Blocks: only for threads."""
    if connections[DEFAULT_DB_ALIAS].in_atomic_block:
        # The transaction may be rolled back, so its responses are not shared.
        return _build(key).value
    return (cached_responses.find(key) or cached_responses.add(key, _build(key))).response


def _build(key: ResponseKey) -> WorkResult[EncodedResponse]:
    return isolation.run(key.version, key.organisation_id, key.work, isolation.CHEAP_SECONDS)
