"""Forms that are sent after the session has ended: kept through the sign-in, and shown again with what was typed.

A form is kept in the session of the visitor who signs in next, for its own user and address only, for half an hour and
up to a size. Passwords and other secrets are not kept. Pages set a signed cookie with their user, which names the owner
of a form once the session is gone. So a visitor who never signed in cannot fill the table of sessions.
"""

import re
import time
from typing import Any

from django.conf import settings
from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase

RESTORED = "Your session had ended, so nothing was saved. Check what you typed, and save again."

OWNER_COOKIE = "form_owner"
KEY = "kept_form"

# Names of fields that are not kept: passwords, secrets of webhooks, the CSRF token.
SECRET = re.compile("password|secret|token", re.IGNORECASE)

MAX_BYTES = 64 * 1024
MAX_AGE_SECONDS = 30 * 60


def name_owner(request: HttpRequest, response: HttpResponseBase) -> None:
    """Set the cookie that names the signed-in user as the owner of the forms in ``response``."""
    owner = str(request.user.pk)
    if isinstance(response, HttpResponse) and _owner(request) != owner:
        response.set_signed_cookie(
            OWNER_COOKIE,
            owner,
            salt=KEY,
            max_age=settings.SESSION_COOKIE_AGE + MAX_AGE_SECONDS,
            httponly=True,
            samesite="Lax",
            secure=settings.SESSION_COOKIE_SECURE,
        )


def keep(request: HttpRequest) -> bool:
    """Keep a form whose session has ended. Returns False if it is nobody's, or too large."""
    owner = _owner(request)
    form = request.POST.copy()
    for name in list(form):
        if SECRET.search(name):
            del form[name]
    encoded = form.urlencode()
    if not owner or len(encoded) > MAX_BYTES:
        return False
    path = request.get_full_path()
    request.session[KEY] = {"owner": owner, "path": path, "form": encoded, "until": time.time() + MAX_AGE_SECONDS}
    if not request.user.is_authenticated:
        # The sign-in gives the session its usual age.
        request.session.set_expiry(MAX_AGE_SECONDS)
    return True


def is_of_ended_session(request: HttpRequest) -> bool:
    """Whether a form with a wrong CSRF token comes from a page of this server, which the user had opened before they
    signed in again in another window. Browsers send ``Origin`` with each POST, and pages cannot set it."""
    is_own_page = request.headers.get("Origin") == f"{request.scheme}://{request.get_host()}"
    return is_own_page and request.user.is_authenticated and _owner(request) == str(request.user.pk)


def take(request: HttpRequest) -> QueryDict | None:
    """Return and remove the form that the signed-in user has sent to this address; None without one."""
    kept: dict[str, Any] | None = request.session.get(KEY)
    if kept is None:
        return None
    is_valid = kept["owner"] == str(request.user.pk) and time.time() < kept["until"]
    if is_valid and kept["path"] != request.get_full_path():
        return None
    del request.session[KEY]
    return QueryDict(kept["form"]) if is_valid else None


def _owner(request: HttpRequest) -> str:
    return request.get_signed_cookie(OWNER_COOKIE, "", salt=KEY) or ""
