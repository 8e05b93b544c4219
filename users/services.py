"""Registration, sign-in, sign-out, passwords and deletion of users.

Passwords are hashed outside of transactions: hashing takes a large part of a second, and an open transaction would
block all other writes on SQLite.
"""

from typing import Any

from django.conf import settings
from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.contrib.auth.tokens import default_token_generator
from django.db import transaction
from django.dispatch import Signal
from django.http import HttpRequest
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_decode, urlsafe_base64_encode
from rest_framework.authtoken.models import Token

from core import conflicts, mail
from core.paths import MAX_ID
from users.models import FFAdminUser

RESET_SUBJECT = "A new password for Flagsmith"
RESET_TEXT = """A new password was requested for your account. Choose one here within an hour:

{link}

If you did not request it, ignore this message: your password does not change.
"""

EMAIL_TAKEN = "Email already exists. Please log in."


registering = Signal()
"""Sent if registration requires an invitation. Arguments: ``invite_hash``, ``email``, ``sign_up_type``. Receivers
return True if there is an invitation."""

deleting_orphans = Signal()
"""Sent before a user is deleted, in the same transaction. Argument: ``user``. Receivers delete the organisations that
have no other member."""


def register(*, password: str, superuser: bool = False, **fields: Any) -> FFAdminUser:
    """Create a user with a token. Raises ValidationError if a concurrent request registers the same address."""
    user = FFAdminUser(**fields, is_staff=superuser, is_superuser=superuser)
    user.set_password(password)
    with conflicts.as_validation_error(EMAIL_TAKEN, "email"):
        user.save()
        Token.objects.create(user=user)
    return user


def sign_in(request: HttpRequest, user: FFAdminUser) -> Token:
    """Return the user's token, which is the same until the user signs out, and update ``last_login``."""
    with transaction.atomic():
        token, _ = Token.objects.get_or_create(user=user)
        user_logged_in.send(sender=type(user), request=request, user=user)
    return token


def sign_out(request: HttpRequest, user: FFAdminUser) -> None:
    """Delete the user's token, which signs the user out everywhere."""
    with transaction.atomic():
        Token.objects.filter(user=user).delete()
        user_logged_out.send(sender=type(user), request=request, user=user)


def send_reset(user: FFAdminUser) -> None:
    """Send the user a link for setting a new password. It can be used once."""
    uid, token = urlsafe_base64_encode(force_bytes(user.pk)), default_token_generator.make_token(user)
    link = f"{settings.PUBLIC_URL}/password-reset/confirm/{uid}/{token}"
    mail.send_later(RESET_SUBJECT, RESET_TEXT.format(link=link), user.email)


def user_to_reset(uid: str, token: str) -> FFAdminUser | None:
    """The user of a link for setting a new password. None if the link is invalid, expired or used."""
    try:
        pk = int(urlsafe_base64_decode(uid))
    except ValueError:
        return None
    user = FFAdminUser.objects.filter(pk=pk, is_active=True).first() if pk <= MAX_ID else None
    return user if user is not None and default_token_generator.check_token(user, token) else None


def change_password(user: FFAdminUser, password: str, *, sign_out: bool = False) -> None:
    """Set a new password. ``sign_out`` also deletes the user's token, which somebody else may have."""
    user.set_password(password)
    with transaction.atomic():
        user.save(update_fields=["password"])
        if sign_out:
            Token.objects.filter(user=user).delete()


def delete_user(user: FFAdminUser, *, with_orphans: bool) -> None:
    """Delete a user. ``with_orphans`` also deletes the organisations that have no other member."""
    with transaction.atomic():
        if with_orphans:
            deleting_orphans.send(sender=None, user=user)
        user.delete()
