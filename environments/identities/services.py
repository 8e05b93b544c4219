"""Deletion of identities."""

from core import removal
from core.locks import block_identity_writes
from environments.identities.models import Identity
from environments.identities.traits.models import Trait
from realtime.changes import triggers, versions
from realtime.types import RowOperation


def delete_identity(identity: Identity) -> None:
    """Delete an identity with its traits and overrides, of which there may be one for each feature.

    They are deleted first and without signals, so this function raises the version. The caller holds the environment's
    lock.
    """
    block_identity_writes([identity.environment_id])
    effect = triggers.identity(identity, RowOperation.DELETED)
    versions.announce(effect.environments, silent=effect.silent)
    removal.empty(Identity.objects.filter(pk=identity.pk))
    traits = Trait.objects.filter(identity=identity)
    traits._raw_delete(traits.db)
    identity.delete()
