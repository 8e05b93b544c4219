"""Random environment keys, in the alphabet of Flagsmith's keys (short UUIDs without similar characters)."""

import secrets

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
LENGTH = 22  # 22 characters of 57 are 128 bits

SERVER_PREFIX = "ser."


def client_key() -> str:
    """A new key for ``X-Environment-Key`` and the stream's path. It is public, since applications contain it."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def server_key() -> str:
    """A new server-side key. It is a secret: it also gives access to the environment document and server-only
    features."""
    return SERVER_PREFIX + client_key()
