"""The responses of the SDK API, made from an environment's compiled document."""

from collections.abc import Collection

from environment_documents.cache import CompiledDocument
from environment_documents.worker import evaluation_time_limit
from realtime.answers import Answer, Validators
from sdk.identify import RequestIdentity

FEATURE_NOT_FOUND = b'{"detail":"Given feature not found"}'


def validators(compiled: CompiledDocument) -> Validators:
    """The validators of an environment document.

    A date before the version was not written with this version: the environment was changed by SQL, or by a process of
    an older release.
    """
    date = compiled.document.last_modified
    is_valid = int(compiled.version.updated_at.timestamp()) <= date
    return Validators(compiled.document_body.etag, date if is_valid else 0)


def flags(compiled: CompiledDocument, server_side: bool) -> Answer:
    """All flags of the environment."""
    body = compiled.server_side_flags if server_side else compiled.client_side_flags
    return Answer.of_version(compiled.version.updated_at, body.encoded, body.gzipped)


def flag(compiled: CompiledDocument, name: str, server_side: bool) -> Answer:
    """One flag of the environment, by its feature's name."""
    return _flag_response(compiled, compiled.environment.flag(name, server_side))


def identity(compiled: CompiledDocument, identity: RequestIdentity, server_side: bool) -> Answer:
    """An identity with its flags and traits."""
    with evaluation_time_limit():
        body = compiled.environment.identity(identity, server_side)
    return Answer.of_version(compiled.version.updated_at, body)


def identity_flag(compiled: CompiledDocument, identity: RequestIdentity, name: str, server_side: bool) -> Answer:
    """One flag of an identity, by its feature's name."""
    with evaluation_time_limit():
        body = compiled.environment.identity_flag(identity, name, server_side)
    return _flag_response(compiled, body)


def feature_ids(compiled: CompiledDocument, names: Collection[str]) -> dict[str, int]:
    """The primary keys of the project's features with these names, by name."""
    return {feature.name: feature.id for feature in compiled.document.features if feature.name in names}


def document(compiled: CompiledDocument) -> Answer:
    """The environment document."""
    body = compiled.document_body
    return Answer.of_version(compiled.version.updated_at, body.encoded, body.gzipped, validators=validators(compiled))


def _flag_response(compiled: CompiledDocument, body: bytes | None) -> Answer:
    if body is None:
        return Answer.of_version(compiled.version.updated_at, FEATURE_NOT_FOUND, status=404)
    return Answer.of_version(compiled.version.updated_at, body)
