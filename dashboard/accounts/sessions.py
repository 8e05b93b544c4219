"""From a proof of the API's to a session: the cookie by which the pages know who is signed in."""

from importlib import import_module

from django.conf import settings
from django.contrib.auth import login
from django.http import HttpRequest
from rest_framework.authtoken.models import Token


def begin(request: HttpRequest, key: str) -> None:
    """Sign in whose token the API has answered with. The session gets a new key: one that somebody planted in the
    browser before is worth nothing."""
    token = Token.objects.select_related("user").get(key=key)
    # Nobody else removes what has expired.
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    login(request, token.user)
