from typing import Any

from rest_framework.authentication import TokenAuthentication
from rest_framework.exceptions import AuthenticationFailed


class UserTokenAuthentication(TokenAuthentication):
    """``Authorization: Token <40 hex digits>``, the token that log-in and registration answer with."""

    def authenticate_credentials(self, key: str) -> tuple[Any, Any]:
        # A null byte is no text for PostgreSQL, not even to look for.
        if not key.isprintable():
            raise AuthenticationFailed("Invalid token.")
        return super().authenticate_credentials(key)
