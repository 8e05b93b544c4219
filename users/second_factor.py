"""The second factor at log-in: a code from an authenticator app (TOTP, by Django OTP), or a backup code.

A log-in by password then returns an ephemeral token. With it and a code, the user gets the token of the Admin API.
"""

import hashlib
import secrets
from base64 import b32encode
from dataclasses import dataclass

from django.core import signing
from django.db import transaction
from django.db.models import Exists, OuterRef, Q, QuerySet
from django.utils import timezone
from django.utils.crypto import constant_time_compare, salted_hmac
from django_otp.plugins.otp_totp.models import TOTPDevice
from rest_framework.exceptions import Throttled

from users.models import BackupCode, FFAdminUser

METHOD = "app"
"""Flagsmith's name of the only supported method, in paths and responses."""

EPHEMERAL_SECONDS = 15 * 60
SALT = "users.second_factor"

BACKUP_CODES = 5
# 16 of 57 characters that look different: 93 bits.
BACKUP_CODE_LENGTH = 16
BACKUP_CODE_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

# Django OTP doubles the wait with each wrong code, without a limit. Nine doublings are four minutes. With that wait, it
# takes years to guess one of the three codes out of a million that are valid at a time, and an attacker who only has
# the password cannot lock the owner out for longer.
MAX_FAILURES = 9


class SecondFactorError(Exception):
    """An invalid request about a second factor. The text is for users."""


@dataclass(frozen=True)
class Enrolment:
    """The data for an authenticator app: ``link`` to scan, or ``secret`` to type."""

    link: str
    secret: str


def active_device(user: FFAdminUser) -> TOTPDevice | None:
    return _devices(user).filter(confirmed=True).first()


def begin(user: FFAdminUser) -> Enrolment:
    """Create a second factor. It is active once it is confirmed; until then, further calls return the same secret."""
    with transaction.atomic():
        _lock(user)
        device = _devices(user).first() or TOTPDevice.objects.create(user=user, name=METHOD, confirmed=False)
    if device.confirmed:
        raise SecondFactorError("MFA method already active.")
    return Enrolment(device.config_url, b32encode(device.bin_key).decode())


def confirm(user: FFAdminUser, code: str) -> list[str]:
    """Activate the second factor if the code is right. Returns new backup codes, which cannot be read again."""
    with transaction.atomic():
        device = _locked_device(user)
        if device is None:
            raise SecondFactorError("Requested MFA method does not exist.")
        if device.confirmed:
            raise SecondFactorError("MFA method already active.")
        is_right = _use_code(user, device, code)
        codes = [_new_code() for _ in range(BACKUP_CODES)] if is_right else []
        if is_right:
            device.confirmed = True
            device.save()
            BackupCode.objects.filter(user=user).delete()
            BackupCode.objects.bulk_create(BackupCode(user=user, digest=_digest(new_code)) for new_code in codes)
    if not is_right:  # After the commit, which stores the failed attempt.
        raise SecondFactorError("Code invalid or expired.")
    return codes


def end(user: FFAdminUser) -> None:
    """Remove the second factor: the user signs in by the password alone."""
    with transaction.atomic():
        device = _locked_device(user)
        if device is None:
            raise SecondFactorError("Requested MFA method does not exist.")
        if not device.confirmed:
            raise SecondFactorError("2FA is not enabled.")
        device.delete()
        BackupCode.objects.filter(user=user).delete()


def ephemeral_token(user: FFAdminUser) -> str:
    """A token for a user who has given the right password. Only ``user_with_code`` accepts it."""
    return signing.dumps([user.pk, _state(user)], salt=SALT)


def user_with_code(token: str, code: str) -> FFAdminUser:
    """The user of an ephemeral token and a right code. Raises SecondFactorError, or Throttled after wrong codes."""
    user = _user_of(token)
    with transaction.atomic():
        device = _locked_device(user)
        is_right = device is not None and device.confirmed and _use_code(user, device, code)
    if not is_right:
        raise SecondFactorError("Invalid or expired code.")
    return user


def is_lacking(user_field: str) -> Q:
    """A condition on rows with a user in ``user_field``: an organisation of the user requires a second factor, and the
    user has none."""
    memberships = FFAdminUser.organisations.through._default_manager
    required = memberships.filter(user=OuterRef(user_field), organisation__force_2fa=True)
    device = TOTPDevice.objects.filter(user=OuterRef(user_field), confirmed=True)
    return Q(Exists(required)) & ~Q(Exists(device))


def _user_of(token: str) -> FFAdminUser:
    try:
        pk, state = signing.loads(token, salt=SALT, max_age=EPHEMERAL_SECONDS)
    except signing.BadSignature as error:
        raise SecondFactorError("Invalid or expired token.") from error
    user = FFAdminUser.objects.filter(pk=pk, is_active=True).first()
    if user is None or not constant_time_compare(state, _state(user)):
        raise SecondFactorError("Invalid or expired token.")
    return user


def _state(user: FFAdminUser) -> str:
    """A digest that ephemeral tokens contain. A new password or a log-in changes it, which makes them invalid."""
    return salted_hmac(SALT, f"{user.password}{user.last_login}", algorithm="sha256").hexdigest()


def _devices(user: FFAdminUser) -> "QuerySet[TOTPDevice]":
    return TOTPDevice.objects.filter(user=user, name=METHOD)


def _lock(user: FFAdminUser) -> None:
    """Lock the user's second factor until the end of the transaction, so that no code is accepted twice."""
    list(FFAdminUser.objects.select_for_update().filter(pk=user.pk).values_list("pk"))


def _locked_device(user: FFAdminUser) -> TOTPDevice | None:
    _lock(user)
    return _devices(user).first()


def _use_code(user: FFAdminUser, device: TOTPDevice, code: str) -> bool:
    """True if the code is right and was not used before. A wrong code is counted and delays the next attempt."""
    is_allowed, details = device.verify_is_allowed()
    if not is_allowed:
        raise Throttled(wait=(details["locked_until"] - timezone.now()).total_seconds())
    if len(code) == device.digits and code.isascii() and code.isdigit():
        is_right = bool(device.verify_token(code))
    else:
        is_right = bool(BackupCode.objects.filter(user=user, digest=_digest(code)).delete()[0])
        if is_right:
            device.throttle_reset()
        else:
            device.throttle_increment()
    if device.throttling_failure_count > MAX_FAILURES:
        device.throttling_failure_count = MAX_FAILURES
        device.save()
    return is_right


def _new_code() -> str:
    return "".join(secrets.choice(BACKUP_CODE_ALPHABET) for _ in range(BACKUP_CODE_LENGTH))


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "replace")).hexdigest()
