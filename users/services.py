"""Users come, sign in and out, and go.

Nothing here hashes a password inside of a transaction: it takes a large part of a second, for which SQLite would keep
everybody else from writing.
"""

from typing import Any

from django.contrib.auth.signals import user_logged_in, user_logged_out
from django.db import transaction
from django.db.models import Count
from django.http import HttpRequest
from rest_framework.authtoken.models import Token

from core import conflicts
from organisations.models import Organisation
from organisations.services import delete_organisations
from users.models import FFAdminUser

EMAIL_TAKEN = "Email already exists. Please log in."


def register(*, password: str, superuser: bool = False, **fields: Any) -> FFAdminUser:
    """Create a user, and the token that signs them in. Raises ValidationError when the address is just being taken."""
    user = FFAdminUser(**fields, is_staff=superuser, is_superuser=superuser)
    user.set_password(password)
    with conflicts.refused(EMAIL_TAKEN, "email"):
        user.save()
        Token.objects.create(user=user)
    return user


def sign_in(request: HttpRequest, user: FFAdminUser) -> Token:
    """The user's token, which stays the same until they sign out. Django notes the time in ``last_login``."""
    with transaction.atomic():
        token, _ = Token.objects.get_or_create(user=user)
        user_logged_in.send(sender=type(user), request=request, user=user)
    return token


def sign_out(request: HttpRequest, user: FFAdminUser) -> None:
    """Destroy the user's token, wherever it is in use."""
    with transaction.atomic():
        Token.objects.filter(user=user).delete()
        user_logged_out.send(sender=type(user), request=request, user=user)


def delete_user(user: FFAdminUser, *, with_orphans: bool) -> None:
    """Delete a user, and with ``with_orphans`` the organisations that have no other member."""
    with transaction.atomic():
        if with_orphans:
            alone = Organisation.objects.annotate(members=Count("userorganisation")).filter(members=1)
            delete_organisations(alone.filter(pk__in=user.organisations.values("pk")))
        user.delete()
