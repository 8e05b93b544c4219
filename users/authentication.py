from rest_framework.authentication import TokenAuthentication


class UserTokenAuthentication(TokenAuthentication):
    """``Authorization: Token <40 hex digits>``, the token that log-in and registration answer with."""
