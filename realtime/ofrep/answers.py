"""OFREP answers: status, headers and body, in the protocol's shapes."""

import hashlib
from typing import NamedTuple

from realtime.answers import Answer
from realtime.evaluation.encoding import encode
from realtime.ofrep.evaluations import Evaluations
from realtime.ofrep.requests import EvaluationRequest, InvalidRequest, parse_identity


class State(NamedTuple):
    """All that an answer depends on besides the request."""

    revision: str
    """Identifies the environment and the content of its document: equal only if that is equal."""

    server_side: bool
    """The caller has a server-side key."""

    streaming_enabled: bool
    """The gate is open: clients may open a stream."""

    def etag(self, body: bytes) -> str:
        """The ``ETag`` of a bulk evaluation with this request body."""
        parts = f"{self.revision} {self.server_side:d}{self.streaming_enabled:d}\n".encode()
        return f'"{hashlib.blake2b(parts + body, digest_size=16).hexdigest()}"'


def unchanged(request: EvaluationRequest, state: State) -> Answer | None:
    """304 if the client has the answer to this bulk evaluation already. It needs no evaluation."""
    if request.flag is not None or not request.if_none_match:
        return None
    etag = state.etag(request.body)
    known = [tag.strip().removeprefix("W/") for tag in request.if_none_match.split(",")]
    return Answer(304, b"", (("ETag", etag),)) if etag in known else None


def answer(request: EvaluationRequest, state: State, evaluations: Evaluations) -> Answer:
    """The answer to a request with a valid key. ``evaluations``: those of the document of ``state.revision``."""
    try:
        identity = parse_identity(request.body)
    except InvalidRequest as invalid:
        return failure(400, request.flag, invalid.code, invalid.details)
    if request.flag is None:
        body = evaluations.all(identity, state.server_side, state.streaming_enabled)
        return Answer(200, body, (("ETag", state.etag(request.body)),))
    found = evaluations.one(identity, request.flag, state.server_side)
    if found is None:
        return failure(404, request.flag, "FLAG_NOT_FOUND", "No flag has this key.")
    return Answer(200, found)


def failure(status: int, flag: str | None, code: str, details: str) -> Answer:
    """An evaluation that failed: of this flag, or of all (None)."""
    key = {} if flag is None else {"key": flag}
    return Answer(status, encode({**key, "errorCode": code, "errorDetails": details}).encode())


def rejection(status: int, details: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """A failure before the evaluation: 403, 429 with ``Retry-After``, or 500."""
    return Answer(status, encode({"errorDetails": details}).encode(), headers)


def unauthorized() -> Answer:
    """The answer to a request without a valid key."""
    details = "Send a key of the environment, in X-API-Key or Authorization: Bearer."
    return rejection(401, details, (("WWW-Authenticate", "Bearer"),))
