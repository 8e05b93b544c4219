"""Answers that do not depend on who asks: ``flags/`` and the environment document, kept by the environment's version.

As in ``evaluation.cache``: whoever asks has just read the version from the environment's row, so nothing is stale.
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
from evaluation.isolation import Evaluated, Work
from sdk import responses
from sdk.authentication import SDKClient
from sdk.responses import Answer


class Wanted(NamedTuple):
    """One of these answers."""

    version: Version
    organisation_id: int
    server: bool
    """Whether features for servers only are in it. The document has no other."""

    is_document: bool = False

    @classmethod
    def flags(cls, client: SDKClient) -> Self:
        return cls(client.version, client.organisation_id, client.server)

    @classmethod
    def document(cls, client: SDKClient) -> Self:
        return cls(client.version, client.organisation_id, True, is_document=True)

    @property
    def work(self) -> Work[Answer]:
        return responses.document if self.is_document else partial(responses.flags, server=self.server)


Written = dict[Any, tuple[bytes, bytes]]
"""Heads and bodies of responses, by what clients differ in."""


class KeptAnswer:
    """An answer in the cache, with the responses that were written of it."""

    __slots__ = ("answer", "written")

    def __init__(self, answer: Answer) -> None:
        self.answer = answer
        self.written: Written = {}


class AnswerCache:
    """The answers of the environments that were used last, ``DOCUMENT_CACHE_BYTES`` at most."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: OrderedDict[int, tuple[Version, dict[tuple[bool, bool], KeptAnswer]]] = OrderedDict()
        """By environment: the version, and the answers by whether they are for servers and the document."""
        self._bytes = 0

    def find(self, wanted: Wanted) -> KeptAnswer | None:
        with self._lock:
            version, answers = self._kept.get(wanted.version.environment_id, (None, {}))
            found = answers.get(wanted[2:]) if version == wanted.version else None
            if found is not None:
                hits.add()
                self._kept.move_to_end(wanted.version.environment_id)
            return found

    def keep(self, wanted: Wanted, made: Evaluated[Answer]) -> KeptAnswer:
        """Keep it, under the version that it is of."""
        environment_id = made.version.environment_id
        with self._lock:
            version, answers = self._kept.get(environment_id, (None, {}))
            if version != made.version:
                self._forget(environment_id)
                answers = {}
                self._kept[environment_id] = made.version, answers
            if wanted[2:] not in answers:
                answers[wanted[2:]] = KeptAnswer(made.value)
                self._bytes += made.value.size
            kept = answers[wanted[2:]]
            while self._bytes > settings.DOCUMENT_CACHE_BYTES:
                self._forget(next(iter(self._kept)))
        return kept

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def _forget(self, environment_id: int) -> None:
        _, answers = self._kept.pop(environment_id, (None, {}))
        self._bytes -= sum(each.answer.size for each in answers.values())


kept = AnswerCache()
"""This process's."""


def _made(wanted: Wanted) -> Evaluated[Answer]:
    return isolation.run(wanted.version, wanted.organisation_id, wanted.work, isolation.CHEAP_SECONDS)


def answer(wanted: Wanted) -> Answer:
    """The answer, from the cache or made. Blocks until it is there, so it is for Django's threads."""
    if connections[DEFAULT_DB_ALIAS].in_atomic_block:
        # What is seen there may never be committed.
        return _made(wanted).value
    return (kept.find(wanted) or kept.keep(wanted, _made(wanted))).answer
