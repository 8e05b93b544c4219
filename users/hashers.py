"""Password hashers, whose work is done in a few threads (``users.hashing``), whoever asks for it."""

from django.contrib.auth.hashers import Argon2PasswordHasher, PBKDF2PasswordHasher

from users.hashing import in_turn


class Argon2(Argon2PasswordHasher):
    """Argon2id at the cost that OWASP names as the least: 19 MiB, two rounds, one thread.

    Django's own takes 100 MiB and eight threads for each log-in.
    """

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        return in_turn(super().encode, password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        return in_turn(super().verify, password, encoded)


class PBKDF2(PBKDF2PasswordHasher):
    """Django's own, which takes a core for as long as Argon2 does."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        return in_turn(super().encode, password, salt, iterations)
