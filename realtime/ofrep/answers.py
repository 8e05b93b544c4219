"""OFREP answers: status, headers and body, in the protocol's shapes."""

import hashlib

from realtime.answers import Answer
from realtime.evaluation.encoding import encode
from realtime.ofrep.evaluations import Evaluations
from realtime.ofrep.requests import InvalidRequest, parse_identity
from realtime.reads.read import Read
from realtime.types import UpdatedAt


def _etag(read: Read, revision: str) -> str:
    """The ``ETag`` of a bulk evaluation."""
    parts = f"{revision} {read.server_side:d}{read.streaming_enabled:d}\n".encode()
    return f'"{hashlib.blake2b(parts + read.body, digest_size=16).hexdigest()}"'


def unchanged(read: Read, revision: str, updated_at: UpdatedAt) -> Answer | None:
    """304 if the client has the answer to this bulk evaluation already. It needs no evaluation.

    ``revision``: identifies the environment and the content of its document: equal only if that is equal.
    """
    if read.feature is not None or not read.if_none_match:
        return None
    etag = _etag(read, revision)
    known = [tag.strip().removeprefix("W/") for tag in read.if_none_match.split(",")]
    return Answer(304, b"", (("ETag", etag),), (), updated_at) if etag in known else None


def answer(read: Read, revision: str, updated_at: UpdatedAt, evaluations: Evaluations) -> Answer:
    """The answer to a read with a valid key. ``evaluations``: those of the document of this revision."""
    flag = read.feature
    try:
        identity = parse_identity(read.body)
    except InvalidRequest as invalid:
        return failure(400, flag, invalid.code, invalid.details, updated_at)
    if flag is None:
        body = evaluations.all(identity, read.server_side, read.streaming_enabled)
        return Answer(200, body, (("ETag", _etag(read, revision)),), (), updated_at)
    found = evaluations.one(identity, flag, read.server_side)
    if found is None:
        return failure(404, flag, "FLAG_NOT_FOUND", "No flag has this key.", updated_at)
    return Answer(200, found, (), (), updated_at)


def failure(status: int, flag: str | None, code: str, details: str, updated_at: UpdatedAt | None = None) -> Answer:
    """An evaluation that failed: of this flag, or of all (None)."""
    key = {} if flag is None else {"key": flag}
    body = encode({**key, "errorCode": code, "errorDetails": details}).encode()
    return Answer(status, body, updated_at=updated_at)


def rejection(status: int, details: str, headers: tuple[tuple[str, str], ...] = ()) -> Answer:
    """A failure before the evaluation: 403, 429 with ``Retry-After``, or 500."""
    return Answer(status, encode({"errorDetails": details}).encode(), headers)


def unauthorized() -> Answer:
    """The answer to a request without a valid key."""
    details = "Send a key of the environment, in X-API-Key or Authorization: Bearer."
    return rejection(401, details, (("WWW-Authenticate", "Bearer"),))
