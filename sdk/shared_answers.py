"""The answers that all clients of an environment share: ``flags/`` and the environment document.

They are cached in the environment's entry of ``environment_documents.cache``.
"""

from functools import partial
from typing import NamedTuple, Self

from django.db import DEFAULT_DB_ALIAS, connections

from environment_documents import isolation
from environment_documents.cache import CachedAnswer, environment_cache
from environment_documents.document import Version
from environment_documents.isolation import Work, WorkResult
from realtime.answers import Answer
from sdk import responses
from sdk.authentication import SDKClient


class SharedKey(NamedTuple):
    """The key of a shared answer, and all that is needed to build it."""

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
    def kind(self) -> tuple[bool, bool]:
        """What distinguishes the shared answers of one version."""
        return self.server_side, self.is_document

    @property
    def work(self) -> Work[Answer]:
        """The computation of the answer."""
        return responses.document if self.is_document else partial(responses.flags, server_side=self.server_side)


def find(key: SharedKey) -> CachedAnswer | None:
    return environment_cache.find_answer(key.version, key.kind)


def add(key: SharedKey, result: WorkResult[Answer]) -> CachedAnswer:
    """Add an answer under its own version, which may be newer than the key's."""
    return environment_cache.add_answer(result.version, key.kind, result.value)


def get(key: SharedKey) -> Answer:
    """The answer, from the cache or newly built. Blocks: only for threads."""
    if connections[DEFAULT_DB_ALIAS].in_atomic_block:
        # The transaction may be rolled back, so its answers are not shared.
        return _build(key).value
    return (find(key) or add(key, _build(key))).answer


def _build(key: SharedKey) -> WorkResult[Answer]:
    return isolation.run(key.version, key.organisation_id, key.work, isolation.CHEAP_SECONDS)
