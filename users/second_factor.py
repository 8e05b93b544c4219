"""The second factor at log-in: a code from an app (TOTP, by Django OTP), or a backup code.

A log-in by password then ends in an ephemeral token instead of a key. With it, and a code, comes the key.
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
"""The only kind there is. Flagsmith's word, in paths and answers."""

EPHEMERAL_SECONDS = 15 * 60
SALT = "users.second_factor"

BACKUP_CODES = 5
# 16 of 57 characters without look-alikes: 93 bits.
BACKUP_CODE_LENGTH = 16
BACKUP_CODE_ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"

# Django OTP doubles the wait with each wrong code, without end. Nine doublings are four minutes: a million codes, three
# of which are right at any time, are then years of guessing, and whoever has the password alone cannot lock the owner
# out for longer.
MAX_FAILURES = 9


class SecondFactorError(Exception):
    """Why it is refused, for people."""


@dataclass(frozen=True)
class Enrolment:
    """What an authenticator app needs to know: ``secret`` to type, ``link`` to scan."""

    link: str
    secret: str


def active_device(user: FFAdminUser) -> TOTPDevice | None:
    return _devices(user).filter(confirmed=True).first()


def begin(user: FFAdminUser) -> Enrolment:
    """The secret of a factor that counts once it is confirmed. Asked again before that, it is the same one."""
    with transaction.atomic():
        _lock(user)
        device = _devices(user).first() or TOTPDevice.objects.create(user=user, name=METHOD, confirmed=False)
    if device.confirmed:
        raise SecondFactorError("MFA method already active.")
    return Enrolment(device.config_url, b32encode(device.bin_key).decode())


def confirm(user: FFAdminUser, code: str) -> list[str]:
    """Make it count, now that its owner has shown a code. Returns new backup codes, which nobody will see again."""
    with transaction.atomic():
        device = _locked_device(user)
        if device is None:
            raise SecondFactorError("Requested MFA method does not exist.")
        if device.confirmed:
            raise SecondFactorError("MFA method already active.")
        right = _accepts(user, device, code)
        codes = [_new_code() for _ in range(BACKUP_CODES)] if right else []
        if right:
            device.confirmed = True
            device.save()
            BackupCode.objects.filter(user=user).delete()
            BackupCode.objects.bulk_create(BackupCode(user=user, digest=_digest(new)) for new in codes)
    if not right:  # After the commit, which has counted it.
        raise SecondFactorError("Code invalid or expired.")
    return codes


def end(user: FFAdminUser) -> None:
    """The password alone signs the user in again."""
    with transaction.atomic():
        device = _locked_device(user)
        if device is None:
            raise SecondFactorError("Requested MFA method does not exist.")
        if not device.confirmed:
            raise SecondFactorError("2FA is not enabled.")
        device.delete()
        BackupCode.objects.filter(user=user).delete()


def ephemeral_token(user: FFAdminUser) -> str:
    """Says that this user has shown their password. It opens nothing but ``user_with_code``."""
    return signing.dumps([user.pk, _state(user)], salt=SALT)


def user_with_code(token: str, code: str) -> FFAdminUser:
    """Who has shown both. Raises SecondFactorError; Throttled after wrong codes, for longer with each."""
    user = _user_of(token)
    with transaction.atomic():
        device = _locked_device(user)
        shown = device is not None and device.confirmed and _accepts(user, device, code)
    if not shown:
        raise SecondFactorError("Invalid or expired code.")
    return user


def owing(user: str) -> Q:
    """Of rows with a user in that field: those whose user is in an organisation that wants a second factor, and has
    none."""
    memberships = FFAdminUser.organisations.through._default_manager
    wanted = memberships.filter(user=OuterRef(user), organisation__force_2fa=True)
    device = TOTPDevice.objects.filter(user=OuterRef(user), confirmed=True)
    return Q(Exists(wanted)) & ~Q(Exists(device))


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
    """What ends the user's ephemeral tokens by changing: their password, and each log-in."""
    return salted_hmac(SALT, f"{user.password}{user.last_login}", algorithm="sha256").hexdigest()


def _devices(user: FFAdminUser) -> "QuerySet[TOTPDevice]":
    return TOTPDevice.objects.filter(user=user, name=METHOD)


def _lock(user: FFAdminUser) -> None:
    """One request at a time works on the user's second factor: a code is used up before the next one reads."""
    list(FFAdminUser.objects.select_for_update().filter(pk=user.pk).values_list("pk"))


def _locked_device(user: FFAdminUser) -> TOTPDevice | None:
    _lock(user)
    return _devices(user).first()


def _accepts(user: FFAdminUser, device: TOTPDevice, code: str) -> bool:
    """Whether the code is right, and was never used. A wrong one is counted, and makes the next one wait."""
    allowed, why = device.verify_is_allowed()
    if not allowed:
        raise Throttled(wait=(why["locked_until"] - timezone.now()).total_seconds())
    if len(code) == device.digits and code.isascii() and code.isdigit():
        right = device.verify_token(code)
    else:
        right = bool(BackupCode.objects.filter(user=user, digest=_digest(code)).delete()[0])
        if right:
            device.throttle_reset()
        else:
            device.throttle_increment()
    if device.throttling_failure_count > MAX_FAILURES:
        device.throttling_failure_count = MAX_FAILURES
        device.save()
    return bool(right)


def _new_code() -> str:
    return "".join(secrets.choice(BACKUP_CODE_ALPHABET) for _ in range(BACKUP_CODE_LENGTH))


def _digest(code: str) -> str:
    return hashlib.sha256(code.encode("utf-8", "replace")).hexdigest()
