"""Random keys of environments, in the characters of Flagsmith's own (short UUIDs without look-alikes)."""

import secrets

ALPHABET = "23456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
LENGTH = 22  # 22 characters of 57 are 128 bits

SERVER_PREFIX = "ser."


def client_key() -> str:
    """A new key for ``X-Environment-Key`` and for the stream's path. It is public: it ships in applications."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def server_key() -> str:
    """A new server-side key, a secret: it also opens the environment document and server-only features."""
    return SERVER_PREFIX + client_key()
