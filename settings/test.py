"""Tests: a quick password hasher and a key that means nothing."""

from settings.base import *

SECRET_KEY = "for tests only: " + "x" * 40  # noqa: S105
ALLOWED_HOSTS = ["*"]
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
