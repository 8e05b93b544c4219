"""Starts a browser session from the token that the API's log-in returns."""

from importlib import import_module

from django.conf import settings
from django.contrib.auth import login
from django.http import HttpRequest
from rest_framework.authtoken.models import Token


def begin(request: HttpRequest, key: str) -> None:
    """Sign in the owner of the token ``key``. ``login`` changes the session key, against session fixation."""
    token = Token.objects.select_related("user").get(key=key)
    # No scheduled job runs clearsessions.
    import_module(settings.SESSION_ENGINE).SessionStore.clear_expired()
    login(request, token.user)
    # A session that keeps a form ends early until then.
    request.session.set_expiry(None)
