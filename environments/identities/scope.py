from functools import cached_property

from rest_framework.exceptions import NotFound

from environments.identities.models import Identity
from environments.scope import EnvironmentScopedView


class IdentityScopedView(EnvironmentScopedView):
    """The base of views below ``environments/{environment_api_key}/identities/{identity_pk}/``.

    A write locks the environment, like the deletion of the identity, so that the two cannot run concurrently.
    """

    locked = "environment"

    @cached_property
    def identity(self) -> Identity:
        identity = Identity.objects.filter(environment=self.environment, pk=self.kwargs["identity_pk"]).first()
        if identity is None:
            raise NotFound("No Identity matches the given query.")
        return identity
