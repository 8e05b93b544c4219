"""Flags of a stored identity, for the Admin API."""

from functools import partial

from environments.identities.models import Identity
from evaluation import isolation
from evaluation.cache import CompiledDocument
from evaluation.document import read_environment_row
from evaluation.membership import evaluated_identity
from evaluation.worker import evaluation_time_limit
from realtime.evaluation import Flag
from realtime.evaluation import Identity as EvaluatedIdentity


def flags_of(identity: Identity) -> list[Flag]:
    """The identity's flags, as an SDK with a server-side key gets them."""
    environment_row = read_environment_row(identity.environment_id)
    work = partial(_flags_of, identity=evaluated_identity(identity))
    return isolation.run(environment_row.version, environment_row.columns["project__organisation_id"], work).value


def _flags_of(compiled: CompiledDocument, identity: EvaluatedIdentity) -> list[Flag]:
    with evaluation_time_limit():
        return compiled.environment.identity_flags(identity, server_side=True)
