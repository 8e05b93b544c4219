"""Codes of a user's authenticator app, and the links of password messages."""

import time

from django.contrib.auth.tokens import default_token_generator
from django.utils.http import urlsafe_base64_encode
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from users import second_factor
from users.models import FFAdminUser


def device_of(user: FFAdminUser, *, confirmed: bool = True) -> TOTPDevice:
    """The user's authenticator app; a new one if there is none."""
    device, _ = TOTPDevice.objects.get_or_create(
        user=user, name=second_factor.METHOD, defaults={"confirmed": confirmed}
    )
    return device


def code_of(user: FFAdminUser, *, confirmed: bool = True, at: float | None = None) -> str:
    """The six digits that the app shows now, or at this Unix time."""
    app = TOTP(device_of(user, confirmed=confirmed).bin_key)
    app.time = time.time() if at is None else at
    return f"{app.token():06}"


def code_login(user: FFAdminUser) -> dict[str, str]:
    """A valid body for the second step of a log-in."""
    return {"ephemeral_token": second_factor.ephemeral_token(user), "code": code_of(user)}


def reset_link(user: FFAdminUser) -> dict[str, str]:
    """The parameters in the link of a password message."""
    uid = urlsafe_base64_encode(str(user.pk).encode())
    return {"uid": uid, "token": default_token_generator.make_token(user)}
