"""Flags of a stored identity, for the Admin API."""

from functools import partial

from environments.identities.models import Identity
from evaluation import isolation
from evaluation.cache import CompiledDocument
from evaluation.document import read_environment_row
from evaluation.evaluator import Flag, TraitValues


def flags_of(identity: Identity) -> list[Flag]:
    """The identity's flags, as an SDK with a server-side key gets them."""
    environment_row = read_environment_row(identity.environment_id)
    traits = {trait.trait_key: trait.trait_value for trait in identity.identity_traits.all()}
    work = partial(_flags_of, identifier=identity.identifier, traits=traits, identity_id=identity.pk)
    return isolation.run(environment_row.version, environment_row.columns["project__organisation_id"], work).value


def _flags_of(compiled: CompiledDocument, identifier: str, traits: TraitValues, identity_id: int) -> list[Flag]:
    return compiled.visible_flags(compiled.evaluator.identity_flags(identifier, traits, identity_id), server_side=True)
