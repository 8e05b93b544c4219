from django.contrib.auth.hashers import Argon2PasswordHasher


class Argon2(Argon2PasswordHasher):
    """Argon2id at the cost that OWASP names as the least: 19 MiB, two rounds, one thread.

    Django's own takes 100 MiB and eight threads for each log-in. Forty at a time, which anybody can start, would take
    4 GB; these take 760 MB.
    """

    time_cost = 2
    memory_cost = 19 * 1024
    parallelism = 1
