"""An identity's flags as an SDK gets them."""

from functools import partial

from environments.identities.models import Identity
from evaluation import isolation
from evaluation.cache import Entry
from evaluation.document import read_head
from evaluation.evaluator import Flag, TraitValues


def flags_of(identity: Identity) -> list[Flag]:
    """The identity's flags as an SDK gets them, those for servers included."""
    head = read_head(identity.environment_id)
    traits = {trait.trait_key: trait.trait_value for trait in identity.identity_traits.all()}
    work = partial(_flags_of, identifier=identity.identifier, traits=traits, identity_id=identity.pk)
    return isolation.run(head.version, head.row["project__organisation_id"], work).value


def _flags_of(entry: Entry, identifier: str, traits: TraitValues, identity_id: int) -> list[Flag]:
    return entry.visible(entry.evaluator.identity_flags(identifier, traits, identity_id), server=True)
