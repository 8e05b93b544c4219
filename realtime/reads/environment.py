"""The environment that reads are answered from: a compiled document of one version, with what all its clients share."""

from functools import cached_property

from realtime.answers import Answer, Headers, Validators, compressed, version_headers, weak_etag
from realtime.evaluation import CompiledEnvironment
from realtime.ofrep import Evaluations
from realtime.types import UpdatedAt

FEATURE_NOT_FOUND = b'{"detail":"Given feature not found"}'


class ServedEnvironment:
    """An environment at one version. Threads share it; shared answers are created lazily."""

    def __init__(
        self,
        environment: CompiledEnvironment,
        document_body: bytes,
        updated_at: UpdatedAt,
        last_modified: int,
        revision: str,
    ) -> None:
        """``last_modified``: Unix time in whole seconds, different for each revision. 0: unknown."""
        self.environment = environment
        self.document_body = document_body
        self.updated_at = updated_at
        self.revision = revision
        """Identifies the environment and the content of its document: equal only if that is equal."""

        self.headers: Headers = version_headers(updated_at)
        """The headers of shared answers."""

        self.individual_headers = self.headers
        """The headers of answers to one client."""

        self.evaluations = Evaluations(environment, updated_at)
        """Those of OFREP."""

        self._last_modified = last_modified
        self._flags: dict[bool, Answer] = {}

    def flags(self, server_side: bool) -> Answer:
        """The answer of ``flags/``."""
        kind = server_side and self.environment.depends_on_key
        answer = self._flags.get(kind)
        if answer is None:
            body = self.environment.flags(kind)
            answer = self._flags[kind] = Answer(200, body, (), self.headers, self.updated_at, compressed(body))
        return answer

    @cached_property
    def document_answer(self) -> Answer:
        """The answer of ``environment-document/``.

        A date before the version was not written with this version: the environment was changed by SQL, or by a process
        of an older release.
        """
        body, date = self.document_body, self._last_modified
        validators = Validators(weak_etag(body), date if int(self.updated_at.timestamp()) <= date else 0)
        return Answer(200, body, (), self.headers, self.updated_at, compressed(body), validators)

    def individual(self, body: bytes) -> Answer:
        """The answer to one client."""
        return Answer(200, body, (), self.individual_headers, self.updated_at)

    def feature_not_found(self, feature: str | None) -> Answer:
        """The answer if there is no flag of this name for this kind of key."""
        return Answer(404, FEATURE_NOT_FOUND, (), self.individual_headers, self.updated_at)
