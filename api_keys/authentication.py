from typing import cast

from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from api_keys.actor import APIKeyUser
from api_keys.models import MasterAPIKey

KEYWORD = "api-key"


class MasterAPIKeyAuthentication(BaseAuthentication):
    """``Authorization: Api-Key <prefix>.<secret>``. Revoked, expired and unknown keys get the same response, a 401."""

    def authenticate(self, request: Request) -> tuple[APIKeyUser, MasterAPIKey] | None:
        scheme, _, secret = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != KEYWORD:
            return None
        key = _find(secret.strip())
        if key is None or key.has_expired:
            raise AuthenticationFailed("Valid Master API Key not found.")
        return APIKeyUser(key), key

    def authenticate_header(self, request: Request) -> str:
        return "Api-Key"


def _find(secret: str) -> MasterAPIKey | None:
    # PostgreSQL rejects a null byte in a query's parameter.
    if not secret.isprintable():
        return None
    try:
        return cast(MasterAPIKey, MasterAPIKey.objects.get_from_key(secret))
    except MasterAPIKey.DoesNotExist:
        return None
