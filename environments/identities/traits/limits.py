"""The limit of an identity's traits."""

from django.conf import settings
from rest_framework.exceptions import ValidationError

from environments.identities.models import Identity
from environments.identities.traits.models import Trait


class TooManyTraits(ValidationError):
    """400: an identity would have more than ``MAX_TRAITS_PER_IDENTITY``."""

    def __init__(self) -> None:
        limit = settings.MAX_TRAITS_PER_IDENTITY
        super().__init__({"trait_key": [f"The identity has the maximum allowed number of traits: {limit}."]})


def require_capacity(identity: Identity) -> None:
    """Lock the identity until the end of the transaction. Raises TooManyTraits if it may have no further trait."""
    list(Identity.objects.select_for_update(no_key=True).filter(pk=identity.pk).values_list("pk"))
    if Trait.objects.filter(identity=identity).count() >= settings.MAX_TRAITS_PER_IDENTITY:
        raise TooManyTraits
