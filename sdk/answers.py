"""Answers reads from the environment's document: in this process, or in the evaluation process if it is expensive.

Answers that all clients of an environment share are cached in its entry of ``environment_documents.cache``.
"""

from functools import partial
from typing import NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections

from environment_documents import isolation
from environment_documents.cache import CachedAnswer, CompiledDocument, environment_cache
from environment_documents.document import Version
from environment_documents.isolation import Work, WorkResult
from environment_documents.worker import evaluation_time_limit
from realtime import ofrep
from realtime.answers import Answer
from realtime.reads.answering import answer
from realtime.reads.read import Read


class VersionedRead(NamedTuple):
    """A read of an environment at this version or a newer one."""

    version: Version
    organisation_id: int
    read: Read

    @property
    def work(self) -> Work[Answer]:
        """The computation of the answer."""
        return partial(_answer, read=self.read)

    @property
    def cheap_seconds(self) -> float:
        """The longest computation that does not make the environment expensive."""
        return isolation.CHEAP_SECONDS if self.read.is_shared else isolation.CHEAP_IDENTITY_SECONDS


def unchanged(asked: VersionedRead) -> Answer | None:
    """304 if the client has the answer of OFREP already. It is known without the document."""
    return ofrep.unchanged(asked.read, asked.version.revision_name, asked.version.updated_at)


def find(asked: VersionedRead) -> CachedAnswer | None:
    """The cached answer to a shared read."""
    return environment_cache.find_answer(asked.version, asked.read)


def add(asked: VersionedRead, result: WorkResult[Answer]) -> CachedAnswer:
    """Add the answer to a shared read under its own version, which may be newer than the read's."""
    return environment_cache.add_answer(result.version, asked.read, result.value)


def get(asked: VersionedRead) -> Answer:
    """The answer, from the cache or computed. Blocks: only for threads."""
    if not asked.read.is_shared:
        return unchanged(asked) or _compute(asked).value
    if connections[DEFAULT_DB_ALIAS].in_atomic_block:
        # The transaction may be rolled back, so its answers are not shared.
        return _compute(asked).value
    return (find(asked) or add(asked, _compute(asked))).answer


def _compute(asked: VersionedRead) -> WorkResult[Answer]:
    return isolation.run(asked.version, asked.organisation_id, asked.work, asked.cheap_seconds)


def _answer(compiled: CompiledDocument, read: Read) -> Answer:
    if read.is_shared:
        return answer(read, compiled)
    with evaluation_time_limit():
        return answer(read, compiled)
