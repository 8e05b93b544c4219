from rest_framework.test import APIClient

from api_keys.models import MasterAPIKey
from organisations.models import Organisation


def with_master_key(organisation: Organisation, **fields: object) -> APIClient:
    """A client that sends a master API key of the organisation with each request."""
    _, key = MasterAPIKey.objects.create_key(name="script", organisation=organisation, **fields)
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Api-Key {key}")
    return client
