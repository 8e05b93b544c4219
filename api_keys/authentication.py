from typing import cast

from django.utils import timezone
from rest_framework.authentication import BaseAuthentication, get_authorization_header
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from api_keys.actor import APIKeyUser
from api_keys.models import MasterAPIKey

KEYWORD = "api-key"


class MasterAPIKeyAuthentication(BaseAuthentication):
    """``Authorization: Api-Key <prefix>.<secret>``. Revoked and expired keys are refused like unknown ones: 401."""

    def authenticate(self, request: Request) -> tuple[APIKeyUser, MasterAPIKey] | None:
        scheme, _, secret = get_authorization_header(request).decode("latin-1").partition(" ")
        if scheme.lower() != KEYWORD:
            return None
        try:
            key = cast(MasterAPIKey, MasterAPIKey.objects.get_from_key(secret.strip()))
        except MasterAPIKey.DoesNotExist:
            key = None
        if key is None or (key.expiry_date is not None and key.expiry_date < timezone.now()):
            raise AuthenticationFailed("Valid Master API Key not found.")
        return APIKeyUser(key), key

    def authenticate_header(self, request: Request) -> str:
        return "Api-Key"
