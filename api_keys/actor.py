from dataclasses import dataclass

from api_keys.models import MasterAPIKey
from core.actor import Actor


@dataclass(frozen=True)
class APIKeyUser:
    """A master API key as ``request.user`` of the Admin API. It has the permissions of an admin of its organisation."""

    key: MasterAPIKey

    is_authenticated = True
    is_active = True
    is_anonymous = False

    @property
    def organisation_id(self) -> int:
        return self.key.organisation_id

    def as_actor(self) -> Actor:
        return Actor(master_api_key_id=self.key.pk)
