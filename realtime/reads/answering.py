"""Answers reads: a pure function, the same for all servers."""

from realtime import ofrep
from realtime.answers import Answer
from realtime.reads.environment import ServedEnvironment
from realtime.reads.read import DOCUMENT, OFREP, Read


def answer(read: Read, environment: ServedEnvironment) -> Answer:
    """The answer to this read from this environment. All else that a response has depends on its form only."""
    endpoint, server_side, feature, identity, *_ = read
    if endpoint == OFREP:
        return ofrep.answer(read, environment.revision, environment.updated_at, environment.evaluations)
    if endpoint == DOCUMENT:
        return environment.document_answer
    compiled = environment.environment
    if identity is not None:
        if feature is None:
            return environment.individual(compiled.identity(identity, server_side))
        body = compiled.identity_flag(identity, feature, server_side)
    elif feature is None:
        return environment.flags(server_side)
    else:
        body = compiled.flag(feature, server_side)
    return environment.feature_not_found(feature) if body is None else environment.individual(body)
