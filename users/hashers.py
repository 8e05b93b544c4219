"""Password hashers that run in a limited number of threads (``users.hashing``)."""

from django.contrib.auth.hashers import Argon2PasswordHasher, PBKDF2PasswordHasher

from users.hashing import run_in_thread


class Argon2(Argon2PasswordHasher):
    """Argon2id with OWASP's minimum parameters: 19 MiB, two iterations, one thread.

    Django's default takes 100 MiB and eight threads for each log-in.
    """

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1

    def encode(self, password: str, salt: str) -> str:
        return run_in_thread(super().encode, password, salt)

    def verify(self, password: str, encoded: str) -> bool:
        return run_in_thread(super().verify, password, encoded)


class PBKDF2(PBKDF2PasswordHasher):
    """Django's default hasher. It occupies a core for as long as Argon2 does."""

    def encode(self, password: str, salt: str, iterations: int | None = None) -> str:
        return run_in_thread(super().encode, password, salt, iterations)
